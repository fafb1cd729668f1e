//! Telling whoever is at the terminal, without harm where nobody is.
//!
//! `println!` ends the thread when its reader has gone: a closed terminal or a broken pipe would then keep a stop from
//! granting the shutdown fallbacks. What is said here is lost in that case, and everything else goes on.

/// A line on the standard output.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        // Nobody listens any more: see the head of this module.
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// A part of a line on the standard output.
macro_rules! say_part {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($text)*);
    }};
}

/// A line on the standard error.
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
