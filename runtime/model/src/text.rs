//! Text shown to a person, in the two languages of the product.

use std::sync::Arc;

/// A short text in Chinese and English. Where a site gives one language only, both hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Simplified Chinese.
    pub zh: Arc<str>,
    /// English.
    pub en: Arc<str>,
}

impl Text {
    /// A text in both languages.
    #[must_use]
    pub fn new(zh: &str, en: &str) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The same text for both languages.
    #[must_use]
    pub fn same(text: &str) -> Self {
        let text: Arc<str> = text.into();
        Self { zh: text.clone(), en: text }
    }
}
