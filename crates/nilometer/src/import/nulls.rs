//! Cells that stand for nothing: those that the command line names are absent, and those that look like
//! it are taken as the texts that they are and warned about.

use domain::table::Cell;
use wire::{ColumnUse, Columns};

use super::rows::RowSink;

/// The code of the warning.
const CODE: &str = "null_text";
/// What databases and libraries write for an absent value; the first few into columns of any kind.
const TEXTS: [&str; 20] = [
    "NULL",
    "null",
    "Null",
    "\\N",
    "(null)",
    "(NULL)",
    "<null>",
    "<NULL>",
    "[NULL]",
    "[null]",
    "None",
    "NONE",
    "none",
    "nil",
    "undefined",
    "NaN",
    "nan",
    "N/A",
    "n/a",
    "#N/A",
];
/// How many of them no property has for a value either.
const TEXTS_OF_PROPERTIES: usize = 4;
/// Longest of them, in bytes, and what each begins with: most cells are told from them by that alone.
const TEXT_BYTES_MAX: usize = 9;
const FIRST_CHARS: [char; 8] = ['N', 'n', '\\', '(', '<', '[', 'u', '#'];

/// Reads the cells of one table.
pub(super) struct Nulls<'o> {
    absent: &'o [String],
    /// How many of the texts are looked for in each column.
    suspects: Vec<usize>,
    /// What was found in the row that was read last, by column.
    found: Vec<(usize, &'static str)>,
}

impl<'o> Nulls<'o> {
    /// Takes the texts `absent` for nothing.
    pub(super) fn new(absent: &'o [String], columns: &Columns) -> Self {
        let suspects = |index| match columns.use_of(index) {
            ColumnUse::Field => TEXTS.len(),
            ColumnUse::Property => TEXTS_OF_PROPERTIES,
            ColumnUse::Properties | ColumnUse::Nothing => 0,
        };
        Self { absent, suspects: (0..columns.len()).map(suspects).collect(), found: Vec::new() }
    }

    /// The cells of a row, without those that are nothing.
    pub(super) fn read<'c>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Cell<'c>>,
    ) -> impl ExactSizeIterator<Item = Cell<'c>> {
        self.found.clear();
        cells.enumerate().map(|(index, cell)| match cell {
            Cell::Text(text) if self.absent.iter().any(|absent| absent == text) => Cell::Absent,
            Cell::Text(text) if text.len() <= TEXT_BYTES_MAX && text.starts_with(FIRST_CHARS) => {
                let suspects = self.suspects.get(index).and_then(|count| TEXTS.get(..*count)).unwrap_or_default();
                if let Some(suspect) = suspects.iter().find(|suspect| **suspect == text) {
                    self.found.push((index, suspect));
                }
                cell
            }
            _ => cell,
        })
    }

    /// Warns about what was found in the row on line `line`.
    pub(super) fn warn(&mut self, columns: &Columns, line: u64, rows: &mut impl RowSink) {
        // A row that cannot be cut into cells is not read, and says nothing of the one before it once more.
        for (index, text) in self.found.drain(..) {
            rows.warn(line, CODE, columns.name(index), &|| {
                format!("the text {text:?} is taken as it is; --null '{text}' takes such cells for empty")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_is_looked_for_is_found() {
        for text in TEXTS {
            assert!(text.len() <= TEXT_BYTES_MAX && text.starts_with(FIRST_CHARS), "{text}");
        }
    }
}
