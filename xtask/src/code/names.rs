//! Finds where a path leads: through imports and re-exports, which are noted, to the module that defines the thing.
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

/// A place, and the modules whose imports lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lead<'a> {
    place: Place<'a>,
    through: Vec<usize>,
}

impl<'a> Lead<'a> {
    fn direct(place: Place<'a>) -> Self {
        Self { place, through: Vec::new() }
    }

    fn past(mut self, modules: &[usize]) -> Self {
        self.through.extend_from_slice(modules);
        self
    }
}

/// The names that are being looked up, so that an import of itself ends.
type Visited<'a> = BTreeSet<(usize, &'a str)>;

impl<'a> Names<'a> {
    /// The names of these modules, which are those of one target, the root first.
    pub(crate) fn new(modules: &'a [Module]) -> Self {
        Self { modules }
    }

    /// The modules and names of what the mention of this module uses: each thing where it is defined, and in every
    /// module that passes it on. A module named as such is not used yet.
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
        let found = if leads { self.leads(module, path, &mut Visited::new()) } else { Vec::new() };
        let items = found.into_iter().filter_map(|Lead { place, through }| match place {
            Place::Item(module, name) => Some(through.into_iter().chain([module]).map(move |module| (module, name))),
            Place::Module(_) => None,
        });
        items.flatten().collect()
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

    fn leads(&self, module: usize, path: &'a Path, visited: &mut Visited<'a>) -> Vec<Lead<'a>> {
        if path.is_absolute {
            return Vec::new();
        }
        let mut segments = path.segments.iter().map(String::as_str);
        let mut leads = match segments.next() {
            Some("crate") => vec![Lead::direct(Place::Module(0))],
            Some("self") => vec![Lead::direct(Place::Module(module))],
            Some("super") => self.parent(module).into_iter().collect(),
            Some(name) => self.lookup(module, name, visited),
            None => Vec::new(),
        };
        for name in segments {
            leads = self.step(leads, name, visited);
        }
        leads
    }

    /// One name further; what no module explains is a part of an item.
    fn step(&self, leads: Vec<Lead<'a>>, name: &'a str, visited: &mut Visited<'a>) -> Vec<Lead<'a>> {
        let (mut found, mut items) = (Vec::new(), Vec::new());
        for lead in leads {
            let Place::Module(module) = lead.place else {
                items.push(lead);
                continue;
            };
            let next = match name {
                "super" => self.parent(module).into_iter().collect(),
                name => self.member(module, name, visited),
            };
            found.extend(next.into_iter().map(|next| next.past(&lead.through)));
        }
        if found.is_empty() { items } else { found }
    }

    /// What the name is in the module; when nothing there defines it, a macro of the module must have.
    fn member(&self, module: usize, name: &'a str, visited: &mut Visited<'a>) -> Vec<Lead<'a>> {
        let found = self.lookup(module, name, visited);
        let is_generated = found.is_empty() && !self.modules[module].scope.contains_key(name);
        if is_generated { vec![Lead::direct(Place::Item(module, name))] } else { found }
    }

    fn parent(&self, module: usize) -> Option<Lead<'a>> {
        self.modules[module].parent.map(|parent| Lead::direct(Place::Module(parent)))
    }

    fn lookup(&self, module: usize, name: &'a str, visited: &mut Visited<'a>) -> Vec<Lead<'a>> {
        let is_new = visited.insert((module, name));
        let mut leads = Vec::new();
        for entry in self.modules[module].scope.get(name).into_iter().flatten() {
            match entry {
                Entry::Module(child) => leads.push(Lead::direct(Place::Module(*child))),
                Entry::Item => leads.push(Lead::direct(Place::Item(module, name))),
                Entry::Import(path) if is_new => {
                    leads.extend(self.leads(module, path, visited).into_iter().map(|lead| lead.past(&[module])));
                }
                Entry::Import(_) => {}
            }
        }
        if leads.is_empty() && is_new {
            for glob in &self.modules[module].globs {
                for source in self.leads(module, glob, visited) {
                    let Place::Module(from) = source.place else { continue };
                    let found = self.lookup(from, name, visited).into_iter();
                    leads.extend(found.map(|lead| lead.past(&source.through).past(&[module])));
                }
            }
        }
        if is_new {
            visited.remove(&(module, name));
        }
        leads
    }
}
