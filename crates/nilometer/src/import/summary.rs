//! Sums what was refused and what was warned about, by code and field, with the first row of each. The sums
//! of a batch become those of the import when the batch is settled, so that an import that goes on counts
//! no row again.

use domain::limits::IMPORT_FINDINGS_MAX;
use domain::warning::Warning;

/// The code of what is told apart no longer.
const OTHERS: &str = "others";

/// What became of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FindingKind {
    /// They are refused.
    Rejected,
    /// They are taken, and something about them looks like a mistake.
    Warning,
}

/// A row, by the number of its file and its line. Line 0 stands for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: u64,
}

/// Rows of which one thing is said.
#[derive(Debug, Clone)]
struct Finding {
    kind: FindingKind,
    code: String,
    field: String,
    count: u64,
    first: Place,
    /// What is said of the first row.
    message: String,
}

/// Sums by kind, code and field. Bounded: beyond so many, what is new is summed under one code.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a row. `message` is asked for when the row is the first one.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        (code, field): (&str, &str),
        place: Place,
        message: impl FnOnce() -> String,
    ) {
        let finding = self.entry(kind, code, field, place);
        finding.count += 1;
        if place < finding.first || finding.message.is_empty() {
            (finding.first, finding.message) = (place, message());
        }
    }

    /// Adds a row of which `warning` is told.
    pub(super) fn add_warning(&mut self, warning: &Warning<'_>, place: Place) {
        let (code, field) = (warning.code.as_str(), warning.field.as_deref().unwrap_or_default());
        self.add(FindingKind::Warning, (code, field), place, || warning.code.message().to_owned());
    }

    /// Adds `count` rows of which a server warned, the first of them at `place`.
    pub(super) fn add_warnings(&mut self, code: &str, field: &str, count: u64, place: Place, message: &str) {
        let finding = self.entry(FindingKind::Warning, code, field, place);
        finding.count += count;
        if place < finding.first || finding.message.is_empty() {
            (finding.first, finding.message) = (place, message.to_owned());
        }
    }

    /// Adds the sums of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for Finding { kind, code, field, count, first, message } in &other.0 {
            let finding = self.entry(*kind, code, field, *first);
            finding.count += count;
            if *first < finding.first || finding.message.is_empty() {
                (finding.first, finding.message) = (*first, message.clone());
            }
        }
    }

    /// How many warnings there are.
    pub(super) fn warnings(&self) -> u64 {
        self.0.iter().filter(|finding| finding.kind == FindingKind::Warning).map(|finding| finding.count).sum()
    }

    /// One line for each code and field, the most frequent first; `name_of` gives the name of a file.
    pub(super) fn lines<'n>(&self, name_of: impl Fn(usize) -> &'n str) -> Vec<String> {
        let mut findings: Vec<_> = self.0.iter().collect();
        findings.sort_by_key(|finding| (finding.kind, std::cmp::Reverse(finding.count), finding.first));
        let line = |finding: &Finding| {
            let Finding { kind, code, field, count, first, message } = finding;
            let kind = match kind {
                FindingKind::Rejected => "rejected",
                FindingKind::Warning => "warning",
            };
            let field = if field.is_empty() { String::new() } else { format!(" {field}") };
            let name = name_of(first.file);
            let place = if first.line == 0 { name.to_owned() } else { format!("{name} line {}", first.line) };
            format!("{kind}: {count} x {code}{field}, first {place}: {message}")
        };
        findings.into_iter().map(line).collect()
    }

    fn entry(&mut self, kind: FindingKind, code: &str, field: &str, first: Place) -> &mut Finding {
        let is_full = self.0.len() >= IMPORT_FINDINGS_MAX;
        let position = |code: &str, field: &str| {
            self.0.iter().position(|known| known.kind == kind && known.code == code && known.field == field)
        };
        let others = || is_full.then(|| position(OTHERS, "")).flatten();
        let index = position(code, field).or_else(others).unwrap_or(self.0.len());
        if index == self.0.len() {
            let (code, field) = if is_full { (OTHERS, "") } else { (code, field) };
            self.0.push(Finding {
                kind,
                code: code.to_owned(),
                field: field.to_owned(),
                count: 0,
                first,
                message: String::new(),
            });
        }
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(findings: &mut Findings, kind: FindingKind, code: &'static str, field: &str, line: u64) {
        let place = Place { file: 0, line };
        findings.add(kind, (code, field), place, || format!("message of line {line}"));
    }

    #[test]
    fn sums_of_parts_are_the_sum_of_the_whole_and_name_the_first_row() {
        let (mut sum, mut part) = (Findings::default(), Findings::default());
        add(&mut sum, FindingKind::Rejected, "invalid_time", "time", 9);
        add(&mut part, FindingKind::Rejected, "invalid_time", "time", 4);
        add(&mut part, FindingKind::Warning, "null_text", "user", 2);
        add(&mut part, FindingKind::Warning, "empty", "", 0);
        sum.merge(&part);
        assert_eq!(sum.warnings(), 2);
        assert_eq!(
            sum.lines(|_| "a.csv"),
            [
                "rejected: 2 x invalid_time time, first a.csv line 4: message of line 4",
                "warning: 1 x empty, first a.csv: message of line 0",
                "warning: 1 x null_text user, first a.csv line 2: message of line 2",
            ]
        );
    }

    #[test]
    fn i6_names_without_end_are_summed_under_one() {
        let mut findings = Findings::default();
        for line in 1..=3 * IMPORT_FINDINGS_MAX as u64 {
            add(&mut findings, FindingKind::Rejected, "too_deep", &format!("field {line}"), line);
        }
        assert_eq!(findings.0.len(), IMPORT_FINDINGS_MAX + 1);
        let total: u64 = findings.0.iter().map(|finding| finding.count).sum();
        assert_eq!(total, 3 * IMPORT_FINDINGS_MAX as u64);
    }
}
