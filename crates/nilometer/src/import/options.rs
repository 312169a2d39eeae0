//! What the command line says about tables, and what a table must have to be one of events.

use anyhow::ensure;
use wire::{Columns, ColumnsError};

/// How tables are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableOptions {
    /// The separator of CSV, when it is not to be found.
    pub(crate) delimiter: Option<u8>,
    /// Which columns fields are read from when their names do not say so.
    pub(crate) mapping: Vec<(String, String)>,
    /// Texts that are absent values.
    pub(crate) nulls: Vec<String>,
    /// Whether rows may have no time.
    pub(crate) now: bool,
}

impl TableOptions {
    /// The columns of the header `names`.
    pub(super) fn columns<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<Columns, ColumnsError> {
        Columns::of(names, &self.mapping)
    }

    /// Checks that a column is the time, or that rows may have none: it cannot be told later which of them
    /// had happened at the moment of the import.
    pub(super) fn ensure_time(&self, columns: &Columns) -> anyhow::Result<()> {
        let like: Vec<_> = columns.time_like().take(5).collect();
        let found = match like.as_slice() {
            [] => "--map time=COLUMN says which one is".to_owned(),
            [one] => format!("{one:?} looks like one: --map 'time={one}' reads it"),
            several => {
                let names: Vec<_> = several.iter().map(|name| format!("{name:?}")).collect();
                format!("{} look like one: --map time=COLUMN reads it", names.join(", "))
            }
        };
        ensure!(
            self.now || columns.has_time(),
            "no column is the time; {found}; with --now every row without a time gets the moment of the import"
        );
        Ok(())
    }
}
