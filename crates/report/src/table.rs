//! How rows become CSV and back. A file's columns are declared once, in [`columns`](crate::columns): the row type,
//! the file and its documentation all follow from that.

use crate::number::{decimal, parse_decimal};

/// A column of a CSV file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// The unit of its values; empty for names and texts.
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// A row of a CSV file.
pub trait Row: Sized {
    /// The file's name.
    const FILE: &'static str;
    /// What the file holds.
    const ABOUT: &'static str;
    /// Its columns, in order.
    const COLUMNS: &'static [Column];

    /// The values in the order of the columns, as they stand in the file.
    fn cells(&self) -> Vec<String>;

    /// The row with these values; the index of the first column whose value is not acceptable otherwise.
    fn parse(cells: &csv::StringRecord) -> Result<Self, usize>;
}

/// A value of a cell.
pub trait Cell: Sized {
    /// As it stands in the file.
    fn write(&self) -> String;
    /// The inverse.
    fn read(text: &str) -> Option<Self>;
}

/// A number with up to `PLACES` decimals, kept as an integer so that files are exact: `Decimal<3>(1_500)` is 1.5.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Decimal<const PLACES: u32>(pub u64);

/// Seconds, from nanoseconds.
pub type Seconds = Decimal<9>;
/// Milliseconds, from nanoseconds.
pub type Millis = Decimal<6>;
/// Rates, ratios and percentages, from thousandths.
pub type Thousandths = Decimal<3>;

impl<const PLACES: u32> Decimal<PLACES> {
    /// For display and plots.
    pub fn value(self) -> f64 {
        self.0 as f64 / 10_u64.pow(PLACES) as f64
    }
}

impl<const PLACES: u32> Cell for Decimal<PLACES> {
    fn write(&self) -> String {
        decimal(self.0, PLACES)
    }

    fn read(text: &str) -> Option<Self> {
        parse_decimal(text, PLACES).map(Decimal)
    }
}

impl Cell for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Cell for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl<T: Cell> Cell for Option<T> {
    fn write(&self) -> String {
        self.as_ref().map_or_else(String::new, Cell::write)
    }

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }
}

/// A whole file as text.
pub fn write_csv<R: Row>(rows: &[R]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = writer.write_record(R::COLUMNS.iter().map(|column| column.name));
    head.expect("writing into memory does not fail");
    for row in rows {
        writer.write_record(row.cells()).expect("every row has as many cells as there are columns");
    }
    writer.into_inner().expect("writing into memory does not fail")
}

/// Why a CSV file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not CSV.
    #[error("{file}: {source}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What the CSV reader says.
        source: csv::Error,
    },
    /// Other columns than ours.
    #[error("{file}: expected the columns {expected}, found {found}")]
    Columns {
        /// The file.
        file: &'static str,
        /// What they should be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// A cell that its column cannot hold.
    #[error("{file}, line {line}: {column} cannot be \"{found}\"")]
    Value {
        /// The file.
        file: &'static str,
        /// The line in the file.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
}

/// The rows of a file.
pub fn read_csv<R: Row>(text: &[u8]) -> Result<Vec<R>, TableError> {
    let malformed = |source| TableError::Malformed { file: R::FILE, source };
    let mut reader = csv::Reader::from_reader(text);
    let found = reader.headers().map_err(malformed)?.clone();
    if !found.iter().eq(R::COLUMNS.iter().map(|column| column.name)) {
        let expected = R::COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let found = found.iter().collect::<Vec<_>>().join(", ");
        return Err(TableError::Columns { file: R::FILE, expected, found });
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        rows.push(R::parse(&record).map_err(|index| TableError::Value {
            file: R::FILE,
            line: record.position().map_or(0, csv::Position::line),
            column: R::COLUMNS[index].name,
            found: record.get(index).unwrap_or_default().to_owned(),
        })?);
    }
    Ok(rows)
}

/// Declares a row type with its file: each field is a column with its type, unit and meaning.
macro_rules! table {
    ($name:ident, $file:literal, $about:literal; $($field:ident: $type:ty, $unit:literal, $meaning:literal;)*) => {
        #[doc = concat!("A row of `", $file, "`. ", $about)]
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $(#[doc = $meaning] pub $field: $type,)*
        }

        impl $crate::table::Row for $name {
            const FILE: &'static str = $file;
            const ABOUT: &'static str = $about;
            const COLUMNS: &'static [$crate::table::Column] = &[
                $($crate::table::Column { name: stringify!($field), unit: $unit, meaning: $meaning },)*
            ];

            fn cells(&self) -> Vec<String> {
                vec![$($crate::table::Cell::write(&self.$field)),*]
            }

            fn parse(cells: &csv::StringRecord) -> Result<Self, usize> {
                let mut next = 0..;
                Ok($name {
                    $($field: {
                        let index = next.next().expect("an open range does not end");
                        cells.get(index).and_then($crate::table::Cell::read).ok_or(index)?
                    },)*
                })
            }
        }
    };
}

pub(crate) use table;
