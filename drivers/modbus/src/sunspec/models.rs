//! SunSpec models as tables: what a model is made of, and where its points lie. The tables themselves are in `tables`.

use super::kind::Kind;
use super::tables;

/// A point of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its unit in the definition's spelling; empty for none.
    pub unit: &'static str,
    /// Name of its scale factor; empty for none.
    pub factor: &'static str,
    /// True where clients may write it.
    pub writable: bool,
}

/// What belongs to a command: a point that takes it back, and one that puts it into force.
#[derive(Debug, PartialEq, Eq)]
pub struct Control {
    /// The points that are commanded.
    pub points: &'static [&'static str],
    /// After so many seconds without a new command the device goes back to its own state.
    pub revert: &'static str,
    /// Written after the command: name and value.
    pub enable: &'static [(&'static str, u16)],
}

/// A model.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Its number.
    pub id: u16,
    /// What it is about, for a person.
    pub title: &'static str,
    /// The points after number and length, in order.
    pub points: &'static [Row],
    /// Name and points of what repeats after them.
    pub repeats: Option<(&'static str, &'static [Row])>,
    /// Its commands that stand for a time.
    pub controls: &'static [Control],
}

/// Registers of a model's number and length.
pub const HEAD: u16 = 2;

fn registers(rows: &[Row]) -> u16 {
    rows.iter().map(|row| row.kind.registers()).sum()
}

fn find(rows: &'static [Row], name: &str) -> Option<(u16, &'static Row)> {
    let at = rows.iter().position(|row| row.name == name)?;
    Some((registers(&rows[..at]), &rows[at]))
}

impl Model {
    /// The model of a number, where its table is here.
    #[must_use]
    pub fn of(id: u16) -> Option<&'static Model> {
        tables::MODELS.iter().copied().find(|model| model.id == id)
    }

    /// Every model whose table is here.
    pub fn all() -> impl Iterator<Item = &'static Model> {
        tables::MODELS.iter().copied()
    }

    /// What the length register says with so many repetitions.
    #[must_use]
    pub fn length(&self, copies: u16) -> u16 {
        let each = self.repeats.map_or(0, |(_, rows)| registers(rows));
        registers(self.points).saturating_add(each.saturating_mul(copies))
    }

    /// A point and its place from the start of the model; of a repetition, counted from 1, where `copy` names one.
    #[must_use]
    pub fn point(&self, copy: Option<u16>, name: &str) -> Option<(u16, &'static Row)> {
        let Some(copy) = copy else {
            return find(self.points, name).map(|(at, row)| (HEAD + at, row));
        };
        let (_, rows) = self.repeats?;
        let before = registers(rows).checked_mul(copy.checked_sub(1)?)?;
        let (at, row) = find(rows, name)?;
        Some(((HEAD + registers(self.points)).checked_add(before)?.checked_add(at)?, row))
    }

    /// Place of the scale factor of a point from the start of the model.
    #[must_use]
    pub fn factor(&self, copy: Option<u16>, row: &Row) -> Option<u16> {
        if row.factor.is_empty() {
            return None;
        }
        let own = copy.and_then(|_| self.point(copy, row.factor));
        own.or_else(|| self.point(None, row.factor)).map(|(at, _)| at)
    }

    /// What belongs to the command of a point.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<&'static Control> {
        self.controls.iter().find(|control| control.points.contains(&name))
    }
}

/// Names that stand for several models that say the same: the first that a device has is taken.
pub const FAMILIES: [(&str, &[u16]); 2] =
    [("inverter", &[103, 102, 101, 113, 112, 111]), ("meter", &[203, 204, 202, 201, 213, 214, 212, 211])];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The lengths the published definitions state.
    const LENGTHS: [(u16, u16, u16); 28] = [
        (1, 0, 66),
        (101, 0, 50),
        (102, 0, 50),
        (103, 0, 50),
        (111, 0, 60),
        (112, 0, 60),
        (113, 0, 60),
        (120, 0, 26),
        (121, 0, 30),
        (122, 0, 44),
        (123, 0, 24),
        (124, 0, 24),
        (160, 0, 8),
        (160, 3, 68),
        (201, 0, 105),
        (202, 0, 105),
        (203, 0, 105),
        (204, 0, 105),
        (211, 0, 124),
        (212, 0, 124),
        (213, 0, 124),
        (214, 0, 124),
        (701, 0, 153),
        (702, 0, 50),
        (704, 0, 65),
        (713, 0, 7),
        (715, 0, 7),
        (802, 0, 62),
    ];

    #[test]
    fn lengths_are_those_of_the_definitions() {
        for (id, copies, length) in LENGTHS {
            assert_eq!(Model::of(id).map(|m| m.length(copies)), Some(length), "model {id}");
        }
        for model in Model::all() {
            assert!(LENGTHS.iter().any(|row| row.0 == model.id), "the length of model {} is not checked", model.id);
        }
    }

    #[test]
    fn offsets_are_those_of_the_definitions() {
        for (id, name, offset) in [
            (1, "Mn", 2),
            (1, "Vr", 42),
            (1, "SN", 50),
            (1, "DA", 66),
            (103, "W", 14),
            (103, "W_SF", 15),
            (103, "Hz", 16),
            (103, "WH", 24),
            (103, "DCW", 31),
            (103, "TmpCab", 33),
            (103, "St", 38),
            (103, "Evt1", 40),
            (113, "W", 22),
            (113, "WH", 32),
            (113, "St", 48),
            (120, "WRtg", 3),
            (121, "WMax", 2),
            (122, "ActWh", 5),
            (123, "Conn", 4),
            (123, "WMaxLimPct", 5),
            (123, "WMaxLimPct_RvrtTms", 7),
            (123, "WMaxLim_Ena", 9),
            (123, "OutPFSet", 10),
            (124, "WChaMax", 2),
            (124, "StorCtl_Mod", 5),
            (124, "ChaState", 8),
            (124, "OutWRte", 12),
            (124, "InWRte", 13),
            (124, "ChaGriSet", 17),
            (203, "W", 18),
            (203, "TotWhExp", 38),
            (203, "TotWhImp", 46),
            (203, "TotWh_SF", 54),
            (213, "TotWhExp", 60),
            (213, "TotWhImp", 68),
            (213, "Evt", 124),
            (701, "W", 10),
            (701, "TotWhInj", 19),
            (701, "TotWhAbs", 23),
            (701, "ThrotPct", 110),
            (701, "ThrotSrc", 111),
            (704, "WMaxLimPctEna", 14),
            (704, "WMaxLimPct", 15),
            (704, "WMaxLimPctRvrtTms", 18),
            (704, "WSet", 24),
            (704, "WRmp", 49),
            (715, "DERHb", 3),
            (715, "ControllerHb", 5),
            (802, "SoC", 11),
            (802, "A", 44),
            (802, "W", 47),
        ] {
            let model = Model::of(id).unwrap();
            assert_eq!(model.point(None, name).map(|p| p.0), Some(offset), "{id}.{name}");
        }
        let mppt = Model::of(160).unwrap();
        assert_eq!(mppt.point(Some(1), "DCW").map(|p| p.0), Some(21));
        assert_eq!(mppt.point(Some(3), "DCWH").map(|p| p.0), Some(62));
        let row = mppt.point(Some(3), "DCW").unwrap().1;
        assert_eq!(mppt.factor(Some(3), row), Some(4), "the factor stands once, before the repetitions");
    }

    #[test]
    fn every_factor_and_every_control_is_a_point_of_its_model() {
        for model in Model::all() {
            let repeated = model.repeats.map_or(&[][..], |(_, rows)| rows);
            let mut names = HashSet::new();
            for row in model.points.iter() {
                assert!(names.insert(row.name), "{}.{} stands twice", model.id, row.name);
            }
            for row in model.points.iter().chain(repeated).filter(|row| !row.factor.is_empty()) {
                let copy = repeated.iter().any(|r| std::ptr::eq(r, row)).then_some(1);
                let at = model.factor(copy, row).unwrap_or_else(|| panic!("{}.{}: no factor", model.id, row.name));
                let factor = model.points.iter().chain(repeated).find(|r| r.name == row.factor).unwrap();
                assert_eq!(factor.kind, Kind::Factor, "{}.{at}", model.id);
            }
            for control in model.controls {
                let also = control.enable.iter().map(|(name, _)| name).chain([&control.revert]);
                for name in control.points.iter().chain(also) {
                    let found = model.point(None, name);
                    assert!(found.is_some_and(|(_, row)| row.writable), "{}.{name} cannot be written", model.id);
                }
            }
        }
        for (name, members) in FAMILIES {
            assert!(members.iter().all(|id| Model::of(*id).is_some()), "{name}");
        }
    }
}
