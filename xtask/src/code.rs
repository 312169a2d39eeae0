//! The crates as their compiler sees them: each target a tree of modules, and of each module what it
//! defines, imports and names. Read from the text alone, so nothing has to compile; what a method call
//! or an inferred type refers to is therefore not known.

mod module;
mod tokens;
mod reader;
mod package;
mod names;

pub(crate) use module::{Form, Module, Public, PublicKind};
pub(crate) use names::Names;
pub(crate) use package::{Package, Scope, packages};
