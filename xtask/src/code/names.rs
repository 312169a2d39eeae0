//! Finds where a path leads: through imports and re-exports to the module that defines the thing.
//! A path that leads out of the target leads nowhere.

use std::collections::BTreeSet;

use super::module::{Entry, Form, Mention, Module, Path};

/// The names of one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    modules: &'a [Module],
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place<'a> {
    Module(usize),
    /// Something defined in the module, or a part of it.
    Item(usize, &'a str),
}

/// The names that are being looked up, so that an import of itself ends.
type Visited<'a> = BTreeSet<(usize, &'a str)>;

impl<'a> Names<'a> {
    /// The names of these modules, which are those of one target, the root first.
    pub(crate) fn new(modules: &'a [Module]) -> Self {
        Self { modules }
    }

    /// The modules and names of what the mention of this module uses; a module named as such is not used yet.
    pub(crate) fn used(&self, module: usize, mention: &'a Mention) -> Vec<(usize, &'a str)> {
        let path = &mention.path;
        let is_short = path.segments.len() == 1;
        let is_type = path.name().starts_with(char::is_uppercase);
        let leads = match mention.form {
            // A name of its own in lower case is a variable, unless it is called.
            Form::Path | Form::Attribute | Form::Implemented => !is_short || is_type,
            Form::Call | Form::Import => true,
            Form::Method | Form::Reexport => false,
        };
        let places = if leads { self.places(module, path, &mut Visited::new()) } else { Vec::new() };
        let items = places.into_iter().filter_map(|place| match place {
            Place::Item(module, name) => Some((module, name)),
            Place::Module(_) => None,
        });
        items.collect()
    }

    /// Whether the mention begins with this crate, seen from the module.
    pub(crate) fn is_of_crate(&self, module: usize, mention: &Mention, crate_name: &str) -> bool {
        let path = &mention.path;
        if path.segments.first().map(String::as_str) != Some(crate_name) {
            return false;
        }
        let names_crate = match mention.form {
            Form::Import | Form::Reexport | Form::Attribute => true,
            Form::Path | Form::Call | Form::Implemented => path.segments.len() > 1,
            Form::Method => false,
        };
        let is_of_it = |entry: &Entry| matches!(entry, Entry::Import(path) if path.segments.first().map(String::as_str) == Some(crate_name));
        let own = self.modules[module].scope.get(crate_name);
        names_crate && (path.is_absolute || own.into_iter().flatten().all(is_of_it))
    }

    fn places(&self, module: usize, path: &'a Path, visited: &mut Visited<'a>) -> Vec<Place<'a>> {
        if path.is_absolute {
            return Vec::new();
        }
        let mut segments = path.segments.iter().map(String::as_str);
        let mut places = match segments.next() {
            Some("crate") => vec![Place::Module(0)],
            Some("self") => vec![Place::Module(module)],
            Some("super") => self.parent(module).into_iter().collect(),
            Some(name) => self.lookup(module, name, visited),
            None => Vec::new(),
        };
        for name in segments {
            places = self.step(places, name, visited);
        }
        places
    }

    /// One name further; what no module explains is a part of an item.
    fn step(&self, places: Vec<Place<'a>>, name: &'a str, visited: &mut Visited<'a>) -> Vec<Place<'a>> {
        let (modules, items): (Vec<_>, Vec<_>) = places.into_iter().partition(|it| matches!(it, Place::Module(_)));
        let mut found = Vec::new();
        for place in modules {
            let Place::Module(module) = place else { continue };
            match name {
                "super" => found.extend(self.parent(module)),
                name => found.extend(self.member(module, name, visited)),
            }
        }
        if found.is_empty() { items } else { found }
    }

    /// What the name is in the module; when nothing there defines it, a macro of the module must have.
    fn member(&self, module: usize, name: &'a str, visited: &mut Visited<'a>) -> Vec<Place<'a>> {
        let found = self.lookup(module, name, visited);
        let is_generated = found.is_empty() && !self.modules[module].scope.contains_key(name);
        if is_generated { vec![Place::Item(module, name)] } else { found }
    }

    fn parent(&self, module: usize) -> Option<Place<'a>> {
        self.modules[module].parent.map(Place::Module)
    }

    fn lookup(&self, module: usize, name: &'a str, visited: &mut Visited<'a>) -> Vec<Place<'a>> {
        let is_new = visited.insert((module, name));
        let mut places = Vec::new();
        for entry in self.modules[module].scope.get(name).into_iter().flatten() {
            match entry {
                Entry::Module(child) => places.push(Place::Module(*child)),
                Entry::Item => places.push(Place::Item(module, name)),
                Entry::Import(path) if is_new => places.extend(self.places(module, path, visited)),
                Entry::Import(_) => {}
            }
        }
        if places.is_empty() && is_new {
            for glob in &self.modules[module].globs {
                let sources = self.places(module, glob, visited);
                for source in sources {
                    let Place::Module(source) = source else { continue };
                    places.extend(self.lookup(source, name, visited));
                }
            }
        }
        if is_new {
            visited.remove(&(module, name));
        }
        places
    }
}
