//! The bindings of a headers exchange: arguments that are compared with the headers of a message.

use std::sync::Arc;

use super::binding::BindingError;
use crate::config::{Destination, RoutingKey};
use crate::properties::{FieldTable, FieldValue};

/// The argument that says how the others are compared. It is never compared itself.
const MODE: &str = "x-match";

/// The argument `x-match`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mode {
    /// Every argument must fit; otherwise one is enough.
    all: bool,
    /// Arguments that begin with `x-` count as well.
    with_x: bool,
}

impl Mode {
    pub fn of(arguments: &FieldTable) -> Result<Mode, BindingError> {
        let found = match arguments.get(MODE) {
            None => return Ok(Mode { all: true, with_x: false }),
            Some(FieldValue::Text(text)) => match &**text {
                "all" => return Ok(Mode { all: true, with_x: false }),
                "any" => return Ok(Mode { all: false, with_x: false }),
                "all-with-x" => return Ok(Mode { all: true, with_x: true }),
                "any-with-x" => return Ok(Mode { all: false, with_x: true }),
                other => format!("{other:?}"),
            },
            Some(FieldValue::Void) => "nothing".to_string(),
            Some(FieldValue::Bool(value)) => value.to_string(),
            Some(FieldValue::Integer(value)) => value.to_string(),
            Some(FieldValue::Array(_)) => "an array".to_string(),
        };
        Err(BindingError::UnknownMatch { found })
    }
}

/// A binding with the arguments that are compared.
#[derive(Clone, Debug)]
pub(super) struct HeadersBinding {
    pub destination: Destination,
    pub key: RoutingKey,
    pub arguments: FieldTable,
    all: bool,
    wanted: Vec<(Arc<str>, FieldValue)>,
}

impl HeadersBinding {
    pub fn new(destination: Destination, key: RoutingKey, arguments: FieldTable) -> HeadersBinding {
        let Mode { all, with_x } = Mode::of(&arguments).expect("a binding is checked before it is made");
        let counts = |name: &str| name != MODE && (with_x || !name.starts_with("x-"));
        let wanted = arguments.iter().filter(|(name, _)| counts(name));
        let wanted = wanted.map(|(name, value)| (name.into(), value.clone())).collect();
        HeadersBinding { destination, key, arguments, all, wanted }
    }

    /// Whether a message with these headers fits. Where nothing is wanted, all of it is there, but not any of it.
    pub fn matches(&self, headers: &FieldTable) -> bool {
        let fits = |(name, wanted): &(Arc<str>, FieldValue)| match wanted {
            FieldValue::Void => headers.get(name).is_some(),
            wanted => headers.get(name) == Some(wanted),
        };
        if self.all { self.wanted.iter().all(fits) } else { self.wanted.iter().any(fits) }
    }
}
