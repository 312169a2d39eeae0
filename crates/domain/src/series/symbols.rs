//! Texts as small numbers for the time of one question, so that rows are compared and grouped by number.

use std::sync::Arc;

use hashbrown::HashMap;

/// The number of the empty text, which stands for events without a value.
pub const NONE: u32 = 0;

/// The texts of one question and their numbers.
#[derive(Debug)]
pub struct Symbols {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbols {
    /// Only the empty text, whose number is [`NONE`].
    pub fn new() -> Self {
        let mut symbols = Self { numbers: HashMap::new(), texts: Vec::new() };
        symbols.number("");
        symbols
    }

    /// The number of a text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // A question ends in its limits long before it has seen 2^32 texts.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }
}
