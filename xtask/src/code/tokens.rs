//! Finds what is named where there is no syntax yet: in the arguments of macros and attributes. Names
//! too much rather than too little.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::module::{Form, Path};

/// Something named, before it is known in which module.
pub(super) type Named = (Path, usize, Form);

/// What the arguments of a macro name: paths, method calls, and what strings capture, as in `"{LIMIT}"`.
pub(super) fn in_macro(tokens: TokenStream) -> Vec<Named> {
    let mut named = Vec::new();
    scan(tokens, Form::Path, &mut named);
    named
}

/// What the arguments of an attribute name: as in a macro, and strings that are a path as a whole.
pub(super) fn in_attribute(tokens: TokenStream) -> Vec<Named> {
    let mut named = Vec::new();
    scan(tokens, Form::Attribute, &mut named);
    named
}

/// The path that a string is, as in `#[serde(default = "limits::rows")]`.
pub(super) fn path_in_string(text: &str) -> Option<Path> {
    let segments: Vec<String> = text.split("::").map(str::to_owned).collect();
    segments.iter().all(|segment| is_name(segment)).then_some(Path { is_absolute: false, segments })
}

/// A name without the mark of a raw one.
pub(super) fn plain(ident: &proc_macro2::Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map(str::to_owned).unwrap_or(name)
}

fn scan(tokens: TokenStream, form: Form, named: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(_) => {
                let (found, len) = path_at(&tokens, at, form);
                named.extend(found);
                at += len;
                continue;
            }
            TokenTree::Group(group) => scan(group.stream(), form, named),
            TokenTree::Literal(literal) => {
                let (text, line) = (literal.to_string(), literal.span().start().line);
                named.extend(in_string(&text, form).map(|path| (path, line, form)));
            }
            TokenTree::Punct(_) => {}
        }
        at += 1;
    }
}

/// The path that begins at this name, and how many tokens it takes.
fn path_at(tokens: &[TokenTree], start: usize, form: Form) -> (Option<Named>, usize) {
    let mut segments = Vec::new();
    let mut end = start;
    while let Some(TokenTree::Ident(ident)) = tokens.get(end) {
        segments.push(plain(ident));
        if !(is_punct(tokens, end + 1, ':') && is_punct(tokens, end + 2, ':')) {
            end += 1;
            break;
        }
        end += 3;
    }
    let line = tokens[start].span().start().line;
    let is_call =
        matches!(tokens.get(end), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    let is_generic = end >= 2 && is_punct(tokens, end - 1, ':');
    let before = |distance: usize, wanted| start >= distance && is_punct(tokens, start - distance, wanted);
    let after_colons = before(1, ':') && before(2, ':');
    let path = |is_absolute| Path { is_absolute, segments: segments.clone() };
    let named = if before(1, '.') && !before(2, '.') {
        (is_call || is_generic).then(|| (path(false), line, Form::Method))
    } else if after_colons && before(3, '>') {
        Some((path(false), line, Form::Method))
    } else if is_call && form == Form::Path {
        Some((path(after_colons), line, Form::Call))
    } else {
        Some((path(after_colons), line, form))
    };
    (named, end - start)
}

fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// What a literal names, if it is a string.
fn in_string(literal: &str, form: Form) -> impl Iterator<Item = Path> {
    let inner = literal.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(inner, _)| inner);
    let inner = inner.unwrap_or_default();
    let whole = if form == Form::Attribute { path_in_string(inner) } else { None };
    let captured = inner.split('{').skip(1).filter_map(|rest| {
        let name = rest.split(['}', ':']).next()?;
        is_name(name).then(|| Path { is_absolute: false, segments: vec![name.to_owned()] })
    });
    whole.into_iter().chain(captured.collect::<Vec<_>>())
}

fn is_name(text: &str) -> bool {
    let is_start = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(is_start) && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}
