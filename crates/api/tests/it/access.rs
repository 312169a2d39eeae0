//! Who may do what, over real HTTP: rights, keys, people, workspaces, and that nobody learns of another workspace.

mod audit;
mod cast;
mod erasures;
mod headers;
mod encryption;
mod keys;
mod lasting;
mod lists;
mod limits;
mod isolation;
mod matrix;
mod people;
mod signed;
mod workspaces;
