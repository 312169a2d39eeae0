//! Reads rows of a table as events: which column is which field, and what becomes of the others.
//! Names of columns are taken in any case and with or without `_`, `-` and spaces. Decides on the
//! columns once; a row then costs no look-up by name.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use domain::event::Candidate;
use domain::limits::{IMPORT_COLUMNS_MAX, Limits};
use domain::rejection::{RejectCode, Rejection};
use domain::table::Cell;
use serde_json::value::RawValue;

use crate::draft::{Draft, Item};
use crate::field::Field;
use crate::hints::Shape;
use crate::json::{self, JsonKind};
use crate::names::{self, Hint, Meaning};
use crate::slot::Named;
use crate::time_name::is_time_like;
use crate::usage;
use crate::values::not_json;

/// Which columns fields are read from when their names do not say so: pairs of a field, by any of its
/// names, and a column.
pub type Mapping = [(String, String)];

/// What each column of a table means.
#[derive(Debug, Clone)]
pub struct Columns {
    columns: Vec<Column>,
    /// Whether some column is a property of its own.
    extras: bool,
}

/// What is read from a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnUse {
    /// A field other than the properties.
    Field,
    /// All properties.
    Properties,
    /// One property.
    Property,
    /// Nothing.
    Nothing,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    role: Role,
}

#[derive(Debug, Clone)]
enum Role {
    /// A field, and whether the column has one of its listed names or was mapped to it.
    Field(Field, bool),
    /// A property of that name, kept as the text of a JSON string; with what it looks like.
    Property(String, Option<Hint>),
    Unread,
}

/// Why a header makes no table of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// No column is a field of an event.
    #[error("no column has the name of a field; the columns are {0}; name them with a mapping field=column")]
    NoField(String),
    /// A mapping names a column that is not there.
    #[error("there is no column {column:?} to read {field} from; the columns are {columns}")]
    NoColumn {
        /// The field.
        field: String,
        /// The column that was asked for.
        column: String,
        /// What is there.
        columns: String,
    },
    /// A mapping names something that is no field.
    #[error("{0:?} is no field of an event")]
    UnknownField(String),
    /// Two columns have the same name.
    #[error("two columns have the name {0:?}")]
    Twice(String),
    /// More columns than any table may have.
    #[error("more than {IMPORT_COLUMNS_MAX} columns")]
    TooMany,
}

impl Column {
    fn is_listed(&self) -> bool {
        !matches!(self.role, Role::Field(_, false))
    }
}

/// Whether a column can hold the field.
const fn can_be_column(field: Field) -> bool {
    !matches!(field, Field::Source | Field::SpecVersion | Field::BinaryData | Field::Stamp)
}

impl Columns {
    /// The columns of the header `names`. A field of `mapping` is read from the column named there and
    /// from no other.
    ///
    /// # Errors
    /// [`ColumnsError`] when that makes no sense.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>, mapping: &Mapping) -> Result<Self, ColumnsError> {
        let names: Vec<&str> = names.into_iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
        if names.len() > IMPORT_COLUMNS_MAX {
            return Err(ColumnsError::TooMany);
        }
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !name.is_empty() && !seen.insert(**name)) {
            return Err(ColumnsError::Twice(shown(twice)));
        }
        let mapped = mapped(&names, mapping)?;
        let is_mapped = |field: Field| mapped.iter().any(|(taken, _)| *taken == field);
        // Then these columns are members of one usage object, as they would be in JSON.
        let is_usage = names.iter().any(|name| usage::is_telling(name));
        let is_of_usage = |name: &str| is_usage && matches!(name, "input_tokens" | "output_tokens");
        let role = |name: &&str| match (mapped.iter().find(|(_, column)| column == name), names::meaning(name)) {
            (Some((field, _)), _) => Role::Field(*field, true),
            // An export shows what the server set; an import has it set anew.
            (None, Some(Meaning::Field { field: Field::Stamp, .. })) => Role::Unread,
            (None, Some(Meaning::Field { field, exact }))
                if can_be_column(field) && !is_mapped(field) && !is_of_usage(name) =>
            {
                Role::Field(field, exact)
            }
            (None, _) if name.is_empty() => Role::Unread,
            (None, meaning) => {
                let hint = if let Some(Meaning::Hint(hint)) = meaning { Some(hint) } else { None };
                Role::Property(serde_json::Value::from(*name).to_string(), hint)
            }
        };
        let columns: Vec<_> = names.iter().map(|name| Column { name: (*name).to_owned(), role: role(name) }).collect();
        if !columns.iter().any(|column| matches!(column.role, Role::Field(..))) {
            return Err(ColumnsError::NoField(listed(&names)));
        }
        let extras = columns.iter().any(|column| matches!(column.role, Role::Property(..)));
        Ok(Self { columns, extras })
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// What is read from column number `index`.
    pub fn use_of(&self, index: usize) -> ColumnUse {
        match self.columns.get(index).map(|column| &column.role) {
            Some(Role::Field(Field::Properties, _)) => ColumnUse::Properties,
            Some(Role::Field(..)) => ColumnUse::Field,
            Some(Role::Property(..)) => ColumnUse::Property,
            Some(Role::Unread) | None => ColumnUse::Nothing,
        }
    }

    /// The name of column number `index`.
    pub fn name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |column| &column.name)
    }

    /// Whether a column is the time.
    pub fn has_time(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.role, Role::Field(Field::Time, _)))
    }

    /// The columns that are not the time though their names look like one.
    pub fn time_like(&self) -> impl Iterator<Item = &str> {
        let others = self.columns.iter().filter(|column| !matches!(column.role, Role::Field(..)));
        others.map(|column| column.name.as_str()).filter(|name| is_time_like(name))
    }

    /// Reads one row. `scratch` holds what has to be put together for it.
    pub fn read<'a>(
        &'a self,
        cells: impl ExactSizeIterator<Item = Cell<'a>>,
        scratch: &'a mut String,
        limits: &Limits,
    ) -> Item<'a> {
        if cells.len() != self.columns.len() {
            let message = format!("has {} columns, the header {}", cells.len(), self.columns.len());
            return Err((None, Rejection::whole(RejectCode::InvalidRow, message)));
        }
        let mut draft = Draft::of_row();
        let mut properties = None;
        let mut extras = String::new();
        let mut filled = false;
        for (column, cell) in self.columns.iter().zip(cells) {
            filled |= cell != Cell::Absent;
            match (&column.role, cell) {
                (_, Cell::Absent) | (Role::Unread, _) => {}
                (Role::Field(Field::Properties, _), cell) => match text_of(cell) {
                    // A second column of properties is refused as any other member given twice.
                    Cow::Borrowed(text) if properties.is_none() => properties = Some((column, text)),
                    _ => draft.refuse(Rejection::of(
                        RejectCode::InvalidType,
                        &column.name,
                        "must be one JSON object in one column",
                    )),
                },
                (Role::Field(field, exact), cell) => {
                    draft.put_cell(*field, Named { text: Cow::Borrowed(&column.name), exact: *exact }, cell);
                }
                (Role::Property(name, hint), cell) => {
                    draft.hint(&column.name, *hint, shape_of(&cell));
                    push_member(&mut extras, name, cell);
                }
            }
        }
        if !filled {
            return Err((None, Rejection::whole(RejectCode::InvalidRow, "is empty")));
        }
        if self.extras && !extras.is_empty() {
            self.merge(&mut draft, properties, &extras, scratch, limits);
        } else if let Some((column, text)) = properties {
            draft.put_properties(Named { text: Cow::Borrowed(&column.name), exact: column.is_listed() }, text, limits);
        }
        let mut candidate = Candidate::default();
        draft.finish(false, &mut candidate).map(|()| candidate)
    }

    /// Puts the properties of columns of their own behind those of the column of properties.
    fn merge<'a>(
        &'a self,
        draft: &mut Draft<'a>,
        properties: Option<(&'a Column, &'a str)>,
        extras: &str,
        scratch: &'a mut String,
        limits: &Limits,
    ) {
        scratch.clear();
        let name = properties.map_or("properties", |(column, _)| column.name.as_str());
        let exact = properties.is_none_or(|(column, _)| column.is_listed());
        match properties.map(|(_, text)| text.trim()) {
            None | Some("null") => scratch.push('{'),
            Some(object) => {
                if let Some(twice) = self.known_member(object) {
                    let message = "stands in the properties and in a column of its own";
                    return draft.refuse(Rejection::of(RejectCode::ConflictingFields, &twice, message));
                }
                scratch.push_str(object.strip_suffix('}').unwrap_or(object));
                if !object.trim_start_matches('{').trim_start().starts_with('}') {
                    scratch.push(',');
                }
            }
        }
        scratch.push_str(extras);
        scratch.push('}');
        draft.put_properties(Named { text: Cow::Borrowed(name), exact }, scratch, limits);
    }

    /// A member of `object` that has a column of its own.
    fn known_member(&self, object: &str) -> Option<String> {
        let members = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(object).ok()?;
        let own = self.columns.iter().filter(|column| matches!(column.role, Role::Property(..)));
        own.map(|column| &column.name).find(|name| members.contains_key(name.as_str())).cloned()
    }
}

/// The fields and columns of a mapping.
fn mapped(names: &[&str], mapping: &Mapping) -> Result<Vec<(Field, String)>, ColumnsError> {
    let pair = |(field, column): &(String, String)| {
        let known = names::field_of(field).map(|(field, _)| field).filter(|field| can_be_column(*field));
        let known = known.ok_or_else(|| ColumnsError::UnknownField(shown(field)))?;
        let exact = names.iter().find(|name| **name == column.trim());
        let found = exact.or_else(|| names.iter().find(|name| plain(name) == plain(column)));
        let found = found.ok_or_else(|| ColumnsError::NoColumn {
            field: field.clone(),
            column: shown(column),
            columns: listed(names),
        })?;
        Ok((known, (*found).to_owned()))
    };
    mapping.iter().map(pair).collect()
}

/// A name without case and separators.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// A name as a message shows it.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(20).map(|name| format!("{:?}", shown(name))).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn shape_of(cell: &Cell<'_>) -> Shape {
    match cell {
        Cell::Number(_) => Shape::Number,
        Cell::Text(text) if is_literal(text) => Shape::Number,
        Cell::Text(text) => Shape::of_text(text),
        Cell::Time(_) => Shape::Dated,
        Cell::Absent | Cell::Bool(_) => Shape::Other,
    }
}

fn text_of(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::Absent => Cow::Borrowed(""),
        Cell::Text(text) => Cow::Borrowed(text),
        Cell::Number(number) => number,
        Cell::Bool(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
        Cell::Time(instant) => Cow::Owned(instant.to_string()),
    }
}

/// Appends a property. A text that is a JSON number, `true` or `false` is taken as that, any other as
/// a text.
fn push_member(members: &mut String, name: &str, cell: Cell<'_>) {
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(name);
    members.push(':');
    match cell {
        Cell::Text(text) if !is_literal(text) => members.push_str(&serde_json::Value::from(text).to_string()),
        Cell::Time(instant) => members.push_str(&serde_json::Value::from(instant.to_string()).to_string()),
        other => members.push_str(&text_of(other)),
    }
}

fn is_literal(text: &str) -> bool {
    matches!(text, "true" | "false")
        || (text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && serde_json::from_str::<serde_json::Number>(text).is_ok())
}

impl<'a> Draft<'a> {
    /// Takes a cell of a column that is a field other than the properties.
    fn put_cell(&mut self, field: Field, name: Named<'a>, cell: Cell<'a>) {
        let text = match cell {
            Cell::Time(instant) if field == Field::Time => {
                return self.put_field(field, name, Cow::Owned(instant.to_string()), false);
            }
            Cell::Number(number) => return self.put_field(field, name, number, true),
            other => text_of(other),
        };
        self.put_field(field, name, text, false);
    }

    /// Takes the text of the properties, which nothing has checked yet.
    fn put_properties(&mut self, name: Named<'a>, text: &'a str, limits: &Limits) {
        if let Err(error) = serde_json::from_str::<&RawValue>(text) {
            return self.refuse(not_json(&name.text, &error));
        }
        let value = JsonKind::of(text.trim_matches(json::SPACES));
        let is_deep = |object| json::is_deeper_than(object, limits.json_depth_max.saturating_sub(1));
        if matches!(value, JsonKind::Object(object) if is_deep(object)) {
            let message = format!("nested deeper than {} levels", limits.json_depth_max);
            return self.refuse(Rejection::of(RejectCode::TooDeep, &name.text, message));
        }
        self.put_object(name, value);
    }
}

#[cfg(test)]
mod tests;
