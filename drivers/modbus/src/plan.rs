//! Which requests read which points.

use crate::address::Area;
use crate::config::DeviceConfig;

/// One read request and the points it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The area read.
    pub area: Area,
    /// First place, counted from 0.
    pub start: u16,
    /// How many places.
    pub count: u16,
    /// Indices into [`DeviceConfig::points`], in the order of their addresses.
    pub points: Vec<usize>,
}

/// The requests of a device, by group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One list per group of the configuration.
    pub groups: Vec<Vec<ReadRequest>>,
}

impl Plan {
    /// Joins the points that are read, group by group: points of one area become one request where the request stays
    /// within the device's limits and no gap is wider than allowed. A point wider than the limit stays alone. SunSpec
    /// points are joined within their model; those whose place is not known yet are not read.
    #[must_use]
    pub fn new(config: &DeviceConfig) -> Plan {
        let groups = (0..config.groups.len())
            .map(|group| {
                let read = |i: &usize| {
                    let point = &config.points[*i];
                    point.group == group && point.write.is_none() && point.is_placed()
                };
                requests(config, (0..config.points.len()).filter(read).collect())
            })
            .collect();
        Plan { groups }
    }
}

/// The requests that read these points.
pub(crate) fn requests(config: &DeviceConfig, mut points: Vec<usize>) -> Vec<ReadRequest> {
    points.sort_by_key(|i| (config.points[*i].address.area, config.points[*i].span(), config.points[*i].address));
    let mut out: Vec<ReadRequest> = Vec::new();
    for index in points {
        let point = &config.points[index];
        let area = point.address.area;
        let (start, end) = (u32::from(point.span().0), point.span().1);
        let most = u32::from(if area.is_register() { config.registers_max } else { config.bits_max });
        let joins = |r: &&mut ReadRequest| {
            let block = r.points.last().map(|i| config.points[*i].block());
            r.area == area && block == Some(point.block()) && !config.quirks.one_by_one
        };
        if let Some(last) = out.last_mut().filter(joins) {
            let first = u32::from(last.start);
            let end = (first + u32::from(last.count)).max(end);
            let gap = start.saturating_sub(first + u32::from(last.count));
            if let (true, true, Ok(count)) =
                (gap <= u32::from(config.gap_max), end - first <= most, u16::try_from(end - first))
            {
                last.count = count;
                last.points.push(index);
                continue;
            }
        }
        out.push(span(config, area, &[index]));
    }
    out
}

/// The two halves of a refused request, or `None` when a single point is left.
///
/// The span of each half is drawn from its points, so places that no point uses and that the device does not have
/// fall out when they lie between the halves.
#[must_use]
pub fn bisect(config: &DeviceConfig, request: &ReadRequest) -> Option<[ReadRequest; 2]> {
    if request.points.len() < 2 {
        return None;
    }
    let (a, b) = request.points.split_at(request.points.len() / 2);
    Some([span(config, request.area, a), span(config, request.area, b)])
}

fn span(config: &DeviceConfig, area: Area, points: &[usize]) -> ReadRequest {
    let start = points.iter().map(|i| config.points[*i].span().0).min().unwrap_or(0);
    let end = points.iter().map(|i| config.points[*i].span().1).max().unwrap_or(0);
    let count = u16::try_from(end.saturating_sub(u32::from(start))).unwrap_or(u16::MAX);
    ReadRequest { area, start, count, points: points.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_address;
    use crate::config::{GroupConfig, PointConfig, WriteConfig};
    use crate::wire::{ByteOrder, WireType};
    use penstock_model::{DeviceId, TagId, ValueType};
    use std::time::Duration;

    fn device(points: &[(&str, WireType, usize)]) -> DeviceConfig {
        let group = |name: &str| GroupConfig { name: name.into(), every: Duration::from_secs(1) };
        let point = |(i, (at, wire, group)): (usize, &(&str, WireType, usize))| PointConfig {
            tag: TagId(u32::try_from(i).unwrap()),
            path: format!("t{i}").into(),
            address: parse_address(at, false).unwrap(),
            wire: *wire,
            order: ByteOrder::Abcd,
            scale: 1.0,
            offset: 0.0,
            value_type: ValueType::Float,
            range: None,
            group: *group,
            write: None,
            sunspec: None,
        };
        DeviceConfig {
            id: DeviceId(0),
            name: "d".into(),
            address: "127.0.0.1:502".into(),
            unit: 1,
            timeout: Duration::from_millis(500),
            groups: vec![group("fast"), group("slow")],
            points: points.iter().enumerate().map(point).collect(),
            registers_max: 125,
            bits_max: 2_000,
            gap_max: 4,
            heartbeat: None,
            pause_after_connect: Duration::ZERO,
            channel: crate::line::ChannelConfig::default(),
            quirks: crate::quirks::Quirks::default(),
            sunspec: crate::sunspec::Settings::default(),
        }
    }

    /// Requests as `area start count`, by group.
    fn spans(config: &DeviceConfig) -> Vec<Vec<(Area, u16, u16)>> {
        config.plan().groups.iter().map(|g| g.iter().map(|r| (r.area, r.start, r.count)).collect()).collect()
    }

    #[test]
    fn neighbours_are_joined_and_wide_gaps_split() {
        let f = WireType::Float32;
        let config = device(&[("30005", f, 0), ("30001", f, 0), ("30003", f, 0), ("30011", f, 0), ("30018", f, 0)]);
        // 30007..30010 is a gap of 4 and read along; 30013..30017 is one of 5 and is not.
        assert_eq!(spans(&config), vec![vec![(Area::Input, 0, 12), (Area::Input, 17, 2)], vec![]]);
        assert_eq!(config.plan().groups[0][0].points, vec![1, 2, 0, 3]);
    }

    #[test]
    fn areas_and_groups_are_never_joined() {
        let config = device(&[
            ("30001", WireType::Int16, 0),
            ("40001", WireType::Int16, 0),
            ("10001", WireType::Bit, 0),
            ("00001", WireType::Bit, 0),
            ("30002", WireType::Int16, 1),
        ]);
        assert_eq!(spans(&config)[0].len(), 4);
        assert_eq!(spans(&config)[1], vec![(Area::Input, 1, 1)]);
    }

    #[test]
    fn a_request_stays_within_the_device_and_the_area() {
        let many: Vec<String> = (1..=130).map(|i| format!("HR{i}")).collect();
        let rows: Vec<_> = many.iter().map(|at| (at.as_str(), WireType::Uint16, 0)).collect();
        let mut config = device(&rows);
        assert_eq!(spans(&config)[0], vec![(Area::Holding, 0, 125), (Area::Holding, 125, 5)]);
        config.registers_max = 60;
        assert_eq!(spans(&config)[0], vec![(Area::Holding, 0, 60), (Area::Holding, 60, 60), (Area::Holding, 120, 10)]);
        // A value is never cut in two.
        let config =
            DeviceConfig { registers_max: 3, ..device(&[("HR1", WireType::Int32, 0), ("HR3", WireType::Int32, 0)]) };
        assert_eq!(spans(&config)[0], vec![(Area::Holding, 0, 2), (Area::Holding, 2, 2)]);
        let last = device(&[("HR65535", WireType::Int16, 0), ("HR65536", WireType::Int16, 0)]);
        assert_eq!(spans(&last)[0], vec![(Area::Holding, 65_534, 2)]);
        let bits: Vec<String> = (1..=20).map(|i| format!("DI{i}")).collect();
        let rows: Vec<_> = bits.iter().map(|at| (at.as_str(), WireType::Bit, 0)).collect();
        let config = DeviceConfig { bits_max: 16, ..device(&rows) };
        assert_eq!(spans(&config)[0], vec![(Area::Discrete, 0, 16), (Area::Discrete, 16, 4)]);
    }

    #[test]
    fn written_points_are_not_polled() {
        let mut config = device(&[("HR1", WireType::Int16, 0), ("HR2", WireType::Int16, 0)]);
        config.points[1].write = Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None });
        assert_eq!(spans(&config)[0], vec![(Area::Holding, 0, 1)]);
    }

    #[test]
    fn halves_shrink_to_their_points() {
        let config = device(&[("HR1", WireType::Int16, 0), ("HR3", WireType::Int16, 0), ("HR6", WireType::Int32, 0)]);
        let whole = &config.plan().groups[0][0];
        assert_eq!((whole.start, whole.count), (0, 7));
        let [a, b] = bisect(&config, whole).unwrap();
        assert_eq!((a.start, a.count, a.points.clone()), (0, 1, vec![0]));
        assert_eq!((b.start, b.count, b.points.clone()), (2, 5, vec![1, 2]));
        assert_eq!(bisect(&config, &a), None);
    }

    #[test]
    fn the_check_names_what_cannot_work() {
        let write = Some(WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None });
        let mut config = device(&[
            ("30001", WireType::Int16, 0),
            ("HR1", WireType::Int32, 0),
            ("HR2", WireType::Int16, 0),
            ("HR9.3", WireType::Int32, 7),
            ("C1", WireType::Int16, 0),
            ("HR5.1", WireType::Bit, 0),
            ("HR5.2", WireType::Bit, 0),
            ("HR65536", WireType::Int32, 0),
        ]);
        for i in [0, 1, 2, 5, 6] {
            config.points[i].write = write;
        }
        let found = config.check().join("\n");
        for part in [
            "tag `t0`: input register PDU 0 (30001) can only be read",
            "tags `t1` (holding register PDU 0 (40001)) and `t2` (holding register PDU 1 (40002)) write the same place",
            "tag `t3`: `.bit` picks a single bit; int32",
            "tag `t3`: group 7 does not exist",
            "tag `t4`: a coil is a single bit and cannot hold int16",
            "tag `t7`: int32 at holding register PDU 65535 (465536) runs past the end",
        ] {
            assert!(found.contains(part), "missing: {part}\nin:\n{found}");
        }
        assert!(!found.contains("t5"), "two bits of one register may both be written:\n{found}");
        let good = device(&[("30001", WireType::Float32, 0), ("DI1", WireType::Bit, 1)]);
        assert_eq!(good.check(), Vec::<String>::new());
    }
}
