//! How far a value may be trusted, and why not further.

use std::fmt;

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal, $word:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// Every reason, in the order of its code.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The stable word for files, interfaces and screens.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            fn code(self) -> u8 {
                match self { $($name::$variant => $code,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a value is usable only with care.
    UncertainReason {
        /// The last value known before the source fell silent.
        LastKnown = 1, "last-known";
        /// A start value that no source has confirmed yet.
        Initial = 2, "initial";
        /// The value has not moved for longer than its source can stand still.
        Frozen = 3, "frozen";
        /// Outside the tag's declared range.
        RangeExceeded = 4, "range";
        /// Computed or taken from elsewhere in place of the real source.
        Substituted = 5, "substituted";
        /// The instrument's verification has expired.
        Verification = 6, "verification";
        /// The instrument reports maintenance, cleaning or calibration.
        Maintenance = 7, "maintenance";
        /// The device itself calls the value uncertain.
        Device = 8, "device-uncertain";
        /// Computed from an input that is itself uncertain.
        Input = 9, "input";
    }
}

reasons! {
    /// Why a value must not be used.
    BadReason {
        /// No source has delivered a value yet.
        Initial = 1, "never-received";
        /// The link to the device is down.
        Link = 2, "link";
        /// No sample within the tag's time to live.
        Stale = 3, "stale";
        /// The device answered, and refused: an exception code or a bad status.
        Refused = 4, "refused";
        /// Bytes arrived that do not decode to the declared type.
        Undecodable = 5, "undecodable";
        /// NaN or infinite.
        NotFinite = 6, "not-finite";
        /// Outside what the instrument can measure at all.
        OutOfRange = 7, "out-of-range";
        /// A program's input is bad and the program does not say what to do.
        Input = 8, "input";
        /// The program that computes it is faulted.
        ProgramFault = 9, "program-fault";
        /// The task that computes it overran.
        Overrun = 10, "overrun";
        /// Switched off by a person or by configuration.
        Disabled = 11, "disabled";
        /// The configuration does not fit the device: unknown node, wrong type.
        Configuration = 12, "configuration";
        /// The device itself calls the value bad.
        Device = 13, "device-bad";
        /// The runtime is stopping.
        Shutdown = 14, "shutdown";
        /// The device answers, and says that it does not have this quantity.
        NotImplemented = 15, "not-implemented";
    }
}

/// Trust in a value. There is no value without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// To be trusted.
    Good,
    /// Usable with care.
    Uncertain(UncertainReason),
    /// Not to be used.
    Bad(BadReason),
}

impl Quality {
    /// True for [`Quality::Good`].
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }

    /// True for [`Quality::Bad`].
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Bad(_))
    }

    /// `good`, `uncertain` or `bad`.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain(_) => "uncertain",
            Self::Bad(_) => "bad",
        }
    }

    /// The reason's word; empty when good.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Good => "",
            Self::Uncertain(r) => r.as_str(),
            Self::Bad(r) => r.as_str(),
        }
    }

    /// The worse of two; of two equally bad ones the first.
    #[must_use]
    pub fn worst(self, other: Quality) -> Quality {
        if other.rank() > self.rank() { other } else { self }
    }

    /// What a result computed from inputs of this quality has: bad and uncertain stay so with the reason
    /// `input`, because the reason of the source belongs to the source.
    #[must_use]
    pub fn propagated(self) -> Quality {
        match self {
            Self::Good => Self::Good,
            Self::Uncertain(_) => Self::Uncertain(UncertainReason::Input),
            Self::Bad(_) => Self::Bad(BadReason::Input),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Uncertain(_) => 1,
            Self::Bad(_) => 2,
        }
    }

    /// The stable one-byte code of the historian's format: 0 good, 64 + reason uncertain, 128 + reason bad.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Uncertain(r) => 64 + r.code(),
            Self::Bad(r) => 128 + r.code(),
        }
    }

    /// The quality of a stored code; `None` for a code this build does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Quality> {
        match code {
            0 => Some(Self::Good),
            64..=127 => UncertainReason::ALL.iter().find(|r| r.code() + 64 == code).map(|r| Self::Uncertain(*r)),
            128..=255 => BadReason::ALL.iter().find(|r| r.code() + 128 == code).map(|r| Self::Bad(*r)),
            1..=63 => None,
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            _ => write!(f, "{}({})", self.class(), self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_as_the_same_quality() {
        let mut seen = 0;
        for code in 0..=u8::MAX {
            if let Some(q) = Quality::from_code(code) {
                assert_eq!(q.code(), code);
                seen += 1;
            }
        }
        assert_eq!(seen, 1 + UncertainReason::ALL.len() + BadReason::ALL.len());
    }

    #[test]
    fn the_worse_wins_and_the_source_keeps_its_reason() {
        let stale = Quality::Bad(BadReason::Stale);
        let frozen = Quality::Uncertain(UncertainReason::Frozen);
        assert_eq!(frozen.worst(stale), stale);
        assert_eq!(stale.worst(Quality::Bad(BadReason::Link)), stale);
        assert_eq!(stale.propagated(), Quality::Bad(BadReason::Input));
        assert_eq!(Quality::Good.worst(frozen).propagated(), Quality::Uncertain(UncertainReason::Input));
    }
}
