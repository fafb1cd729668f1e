//! Text in both languages, put together from parts.

use penstock_model::Text;
use serde::{Deserialize, Serialize};

/// A line for a person in Chinese and English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Words {
    /// A line in both languages.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Words {
        Words { zh: zh.into(), en: en.into() }
    }

    /// In the language of this code; English where it is not `zh`.
    #[must_use]
    pub fn of(&self, language: &str) -> &str {
        if language == "zh" { &self.zh } else { &self.en }
    }
}

impl From<&Text> for Words {
    fn from(text: &Text) -> Words {
        Words::new(&*text.zh, &*text.en)
    }
}
