//! Prints the documentation of the CSV columns, which is kept in `columns.md`.

fn main() {
    print!("{}", brokerlab_report::columns_markdown());
}
