//! Names as small numbers, for as long as one memtable lives, or one segment is written anew.

use std::sync::Arc;

use hashbrown::HashMap;

/// A name of one interner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(u32);

/// Names, each held once.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    symbols: HashMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

impl Interner {
    /// The symbol of `text`, and whether it is new.
    pub(crate) fn intern(&mut self, text: &str) -> (Symbol, bool) {
        if let Some(symbol) = self.symbols.get(text) {
            return (*symbol, false);
        }
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&text));
        self.symbols.insert(text, symbol);
        (symbol, true)
    }

    /// The symbol of `text`, if it has one.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }

    /// The text of a symbol.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        &self.texts[symbol.0 as usize]
    }
}
