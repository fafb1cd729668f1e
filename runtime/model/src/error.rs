//! Errors as a person reads them.

use std::error::Error;

/// An error with everything that lies behind it, on one line: our own errors never repeat their source, so a log line
/// or an answer that shows the error alone would leave out the system's reason.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write x")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_systems_reason_is_part_of_the_line() {
        let full = Outer(std::io::Error::other("no space left"));
        assert_eq!(with_causes(&full), "cannot write x: no space left");
    }
}
