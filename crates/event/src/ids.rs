//! The ids that events carry. Each has a bound that no run can need to pass, so that an event packs into three words;
//! in hand it is a plain machine word, which costs nothing to read. Names stand once in the
//! [`RunHeader`](crate::RunHeader).

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $wide:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($wide);

        impl $name {
            /// The largest id that fits.
            pub const MAX: $name = $name(<$wide>::MAX >> (<$wide>::BITS - 8 * $bytes));

            /// The id of this number.
            ///
            /// # Panics
            /// Panics where the number does not fit; scenarios that could reach that are refused beforehand.
            #[inline]
            pub fn new(number: $wide) -> $name {
                assert!(number <= $name::MAX.0, concat!(stringify!($name), " out of range"));
                $name(number)
            }

            /// The number.
            #[inline]
            pub const fn get(self) -> $wide {
                self.0
            }

            /// The number as an index into a table.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.get())
            }
        }
    };
}

id!(
    /// A message of the demand: numbered from 0 in the order of the intended send times, over all producers.
    MessageId, 5, u64, "m"
);
id!(
    /// A place in a store: the position in a queue (in order of arrival) or the offset in a partition.
    Offset, 5, u64, "@"
);
id!(
    /// A client, producer or consumer: an index into [`RunHeader::clients`](crate::RunHeader::clients).
    ClientId, 3, u32, "c"
);
id!(
    /// A store, that is a queue or a partition: an index into [`RunHeader::stores`](crate::RunHeader::stores).
    StoreId, 3, u32, "s"
);
id!(
    /// An application of the demand: an index into [`RunHeader::applications`](crate::RunHeader::applications).
    ApplicationId, 2, u16, "a"
);
id!(
    /// A fault of the scenario: an index into [`RunHeader::faults`](crate::RunHeader::faults).
    FaultId, 2, u16, "f"
);
id!(
    /// A broker node.
    NodeId, 2, u16, "n"
);
id!(
    /// A message key: an index into [`RunHeader::keys`](crate::RunHeader::keys). [`KeyId::NONE`] for unkeyed messages.
    KeyId, 4, u32, "k"
);

/// Whom a fault hits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// A client.
    Client(ClientId),
    /// A broker node.
    Node(NodeId),
}

impl KeyId {
    /// The key of a message that has none.
    pub const NONE: KeyId = KeyId::MAX;

    /// The key, unless this is [`KeyId::NONE`].
    #[inline]
    pub fn some(self) -> Option<KeyId> {
        (self != KeyId::NONE).then_some(self)
    }
}

impl MessageId {
    /// The message after this one.
    pub fn next(self) -> MessageId {
        MessageId::new(self.get() + 1)
    }
}

impl Offset {
    /// The first place of every store.
    pub const ZERO: Offset = Offset(0);

    /// The place after this one. Stores are filled one by one, and no run has time for as many places as there
    /// are, so this is not looked at.
    #[inline]
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_number_and_order() {
        for number in [0, 1, 255, 256, (1 << 40) - 1] {
            assert_eq!(MessageId::new(number).get(), number);
        }
        assert!(Offset::new(256) > Offset::new(255), "order is by number, not by byte");
        assert_eq!(ClientId::new((1 << 24) - 1), ClientId::MAX);
        assert_eq!(KeyId::NONE.some(), None);
    }

    #[test]
    #[should_panic(expected = "MessageId out of range")]
    fn a_number_that_does_not_fit_is_refused() {
        MessageId::new(1 << 40);
    }
}
