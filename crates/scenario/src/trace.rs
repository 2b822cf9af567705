//! A recording as demand: a CSV file whose rows say when a message is to be sent, and of which key and size.

use brokerlab_event::{Duration, KeyId, KeyTable, Mixer, Time};
use std::collections::BTreeMap;

/// The most rows of a trace.
pub const MOST_ROWS: usize = 50_000_000;

/// A recording, scaled to the time of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    rows: Vec<Row>,
    keys: KeyTable,
    digest: u64,
    file: String,
    file_digest: u64,
}

/// A message of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// When it is to be sent.
    pub time: Time,
    /// Its key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// Its size in bytes, where the recording has one.
    pub size: Option<u32>,
}

/// How a recording is read.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceOptions {
    /// The column of the times.
    pub time: String,
    /// The column of the keys.
    pub key: Option<String>,
    /// The column of the sizes in bytes.
    pub size: Option<String>,
    /// How many seconds of the recording pass in a second of the run.
    pub scale: f64,
    /// The time of the recording at which the run begins; nothing for the time of its first row. Rows before it
    /// are left out.
    pub start: Option<i128>,
}

/// What is wrong with a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TraceProblem {
    /// The line, from 1; nothing where the file as a whole is meant.
    pub line: Option<usize>,
    /// The column of characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Trace {
    /// The messages in the order of their times.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The keys in the order of their first appearance.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// A digest of what the run takes from the recording.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The file, as the scenario names it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A digest of the file's bytes, to recognise it.
    pub fn file_digest(&self) -> u64 {
        self.file_digest
    }

    /// Reads a recording.
    pub(crate) fn read(file: &str, bytes: &[u8], options: &TraceOptions) -> Result<Trace, TraceProblem> {
        let text = text(bytes)?;
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let whole = |message: &str| TraceProblem { line: None, column: 1, message: message.to_string() };
        let (header_line, header) = lines.next().ok_or_else(|| whole("the trace is empty"))?;
        let names = fields(header);
        let column = |wanted: &str| {
            let found = names.iter().position(|(_, name)| name == wanted);
            found.ok_or_else(|| {
                let all: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
                let hint = crate::suggest::did_you_mean(wanted, all.iter().copied());
                let message = format!("the trace has no column \"{wanted}\"; its columns are {}{hint}", all.join(", "));
                TraceProblem { line: Some(header_line + 1), column: 1, message }
            })
        };
        let time = column(&options.time)?;
        let key = options.key.as_deref().map(column).transpose()?;
        let size = options.size.as_deref().map(column).transpose()?;
        let mut reader =
            RowReader { options, first: options.start, last: None, known: BTreeMap::new(), trace: Trace::empty(file) };
        for (line, text) in lines {
            let fields = fields(text);
            if fields.len() != names.len() {
                let message = format!("this row has {} fields and the header has {}", fields.len(), names.len());
                return Err(TraceProblem { line: Some(line + 1), column: 1, message });
            }
            let row = reader.row(&fields[time], key.map(|at| &fields[at]), size.map(|at| &fields[at]));
            row.map_err(|(column, message)| TraceProblem { line: Some(line + 1), column, message })?;
        }
        let mut trace = reader.trace;
        if trace.rows.is_empty() {
            return Err(whole("the trace has no rows (after its start)"));
        }
        trace.seal(bytes);
        Ok(trace)
    }

    fn empty(file: &str) -> Trace {
        Trace { rows: Vec::new(), keys: KeyTable::default(), digest: 0, file: file.to_string(), file_digest: 0 }
    }

    fn seal(&mut self, bytes: &[u8]) {
        let mut mixer = Mixer::new(0x7ace);
        for row in &self.rows {
            mixer.mix(row.time.as_nanos());
            mixer.mix(u64::from(row.key.get()) << 32 | u64::from(row.size.unwrap_or(u32::MAX)));
        }
        for key in 0..self.keys.len() {
            mixer.mix_bytes(self.keys.bytes(KeyId::new(key as u32)));
        }
        self.digest = mixer.digest();
        let mut mixer = Mixer::new(0xf11e);
        mixer.mix_bytes(bytes);
        self.file_digest = mixer.digest();
    }
}

/// The text of a recording, without a byte order mark.
fn text(bytes: &[u8]) -> Result<&str, TraceProblem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let message = format!("the trace is not UTF-8: found the byte 0x{:02x}", bytes[error.valid_up_to()]);
        TraceProblem { line: Some(line), column, message }
    })
}

/// The fields of a line with the columns at which they begin. A quoted field may hold commas and doubled quotes,
/// but no line break.
fn fields(line: &str) -> Vec<(usize, String)> {
    let line = line.trim_end_matches('\r');
    let mut fields = vec![(1, String::new())];
    let mut quoted = false;
    let mut characters = line.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        let field = fields.last_mut().expect("the list of fields begins with one");
        match character {
            '"' if quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                field.1.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push((at + 2, String::new())),
            other => field.1.push(other),
        }
    }
    fields
}

struct RowReader<'a> {
    options: &'a TraceOptions,
    /// The moment of the recording at which the run begins, in nanoseconds.
    first: Option<i128>,
    last: Option<i128>,
    known: BTreeMap<String, KeyId>,
    trace: Trace,
}

type Field = (usize, String);

impl RowReader<'_> {
    fn row(&mut self, time: &Field, key: Option<&Field>, size: Option<&Field>) -> Result<(), (usize, String)> {
        let moment =
            parse_moment(&time.1).map_err(|problem| (time.0, format!("bad timestamp \"{}\": {problem}", time.1)))?;
        if self.last.is_some_and(|last| moment < last) {
            return Err((time.0, format!("the trace is not sorted: \"{}\" is before the row above", time.1)));
        }
        self.last = Some(moment);
        let first = *self.first.get_or_insert(moment);
        if moment < first {
            return Ok(());
        }
        let nanos = (moment - first) as f64 / self.options.scale;
        let time = Time::ZERO + Duration::from_nanos(libm::round(nanos) as u64);
        let size = size.map(|(column, text)| match text.trim().parse() {
            Ok(size) if (1..=crate::demand::LARGEST_MESSAGE).contains(&size) => Ok(size),
            _ => {
                Err((*column, format!("bad size \"{text}\": it must be a whole number of bytes from 1 to 1073741824")))
            }
        });
        let key = key.map_or(KeyId::NONE, |(_, text)| self.key(text));
        self.trace.rows.push(Row { time, key, size: size.transpose()? });
        match self.trace.rows.len() > MOST_ROWS {
            true => Err((1, format!("the trace has more than {MOST_ROWS} rows"))),
            false => Ok(()),
        }
    }

    fn key(&mut self, text: &str) -> KeyId {
        if let Some(key) = self.known.get(text) {
            return *key;
        }
        let key = self.trace.keys.push(text.as_bytes());
        self.known.insert(text.to_string(), key);
        key
    }
}

/// What a time of a recording looks like.
pub(crate) const MOMENT: &str = "a time such as 2013-11-25T05:08:00 (ISO 8601) or a number of seconds";

/// A moment in nanoseconds: of ISO 8601 since 1970 (without an offset, as UTC), or of a number of seconds.
pub(crate) fn parse_moment(text: &str) -> Result<i128, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        if !seconds.is_finite() || seconds.abs() > 1e12 {
            return Err("it is out of range".to_string());
        }
        return Ok(libm::round(seconds * 1e9) as i128);
    }
    iso(text).ok_or_else(|| format!("it must be {MOMENT}"))
}

fn iso(text: &str) -> Option<i128> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let sign_at = clock.rfind(['+', '-']);
    let (clock, offset) = match (clock.strip_suffix(['Z', 'z']), sign_at) {
        (Some(clock), _) => (clock, 0),
        (None, Some(at)) => {
            let [hours, minutes] = numbers(&clock[at + 1..], ':')?;
            let offset = hours * 60 + minutes;
            (&clock[..at], if clock[at..].starts_with('-') { -offset } else { offset })
        }
        (None, None) => (clock, 0),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] =
        numbers(clock, ':').or_else(|| numbers(clock, ':').map(|[h, m]: [i64; 2]| [h, m, 0]))?;
    let valid = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !valid || !(1..=month_days[(month - 1) as usize]).contains(&day) {
        return None;
    }
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// As many unsigned numbers as the array is long, between separators.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| {
            (!part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse().ok())?
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Days since 1 January 1970 in the Gregorian calendar, counting years from March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let cases = [
            ("1970-01-01T00:00:00", 0),
            ("1970-01-02T00:00:00Z", 86_400_000_000_000),
            ("2013-11-25T05:08:00", 1_385_356_080_000_000_000),
            ("2013-11-25T06:08:00+01:00", 1_385_356_080_000_000_000),
            ("2013-11-25 05:08:00.5", 1_385_356_080_500_000_000),
            ("2000-02-29T00:00", 951_782_400_000_000_000),
            ("12.5", 12_500_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_moment(text), Ok(nanos), "{text}");
        }
        for text in ["2013-02-29T00:00:00", "2013-13-01T00:00:00", "yesterday", "nan", "", "2013-11-25"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_may_be_quoted() {
        let values: Vec<String> = fields("a,\"b, \"\"c\"\"\",,d").into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["a", "b, \"c\"", "", "d"]);
    }
}
