//! Register image of one Modbus device: what can be read, what can be written, and how values are laid into registers.
//!
//! The codec is the simulator's own on purpose: a device that shared the driver's code would share its errors.

use std::collections::BTreeMap;

/// Order of the two registers of a 32-bit value; bytes within a register are always big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// High word first.
    Abcd,
    /// Low word first.
    Cdab,
}

/// PDU address of a Modicon input register number (30001 is 0).
#[must_use]
pub const fn input(number: u16) -> u16 {
    number - 30_001
}

/// PDU address of a Modicon holding register number (40001 is 0).
#[must_use]
pub const fn holding(number: u16) -> u16 {
    number - 40_001
}

/// PDU address of a Modicon discrete input number (10001 is 0).
#[must_use]
pub const fn discrete(number: u16) -> u16 {
    number - 10_001
}

/// PDU address of a Modicon coil number (1 is 0).
#[must_use]
pub const fn coil(number: u16) -> u16 {
    number - 1
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An address of the request does not exist or is not writable.
    Address,
    /// A value or a count is not acceptable.
    Value,
}

/// Registers or bits with consecutive addresses; what lies outside all blocks of an area does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block<T> {
    base: u16,
    cells: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Area<T>(Vec<Block<T>>);

impl<T: Copy + Default> Area<T> {
    fn new(blocks: &[(u16, u16)]) -> Area<T> {
        Area(
            blocks
                .iter()
                .map(|(base, len)| Block { base: *base, cells: vec![T::default(); usize::from(*len)] })
                .collect(),
        )
    }

    fn read(&self, at: u16, count: u16) -> Result<&[T], Refusal> {
        self.0
            .iter()
            .find_map(|block| {
                let from = usize::from(at.checked_sub(block.base)?);
                block.cells.get(from..from + usize::from(count))
            })
            .ok_or(Refusal::Address)
    }

    /// Sets cells that the device itself owns; addresses outside the map are a mistake of the map and are ignored,
    /// which the register map tests would show.
    fn put(&mut self, at: u16, cells: &[T]) {
        for block in &mut self.0 {
            let Some(from) = at.checked_sub(block.base).map(usize::from) else { continue };
            if let Some(target) = block.cells.get_mut(from..from + cells.len()) {
                target.copy_from_slice(cells);
            }
        }
    }
}

/// What may be written to a holding register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// One register with an inclusive range of raw values.
    Word {
        /// PDU address.
        at: u16,
        /// Least raw value.
        low: u16,
        /// Greatest raw value.
        high: u16,
    },
    /// A float32 in two registers, written as a whole, within an inclusive range.
    Float {
        /// PDU address of the first register.
        at: u16,
        /// Order of the registers.
        order: Order,
        /// Least value.
        low: f32,
        /// Greatest value.
        high: f32,
    },
}

impl Rule {
    fn at(&self) -> u16 {
        match self {
            Rule::Word { at, .. } | Rule::Float { at, .. } => *at,
        }
    }
}

/// Blocks (PDU address, length) of the four areas and the write rules of a device.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// Input registers.
    pub input: Vec<(u16, u16)>,
    /// Holding registers.
    pub holding: Vec<(u16, u16)>,
    /// Discrete inputs.
    pub discrete: Vec<(u16, u16)>,
    /// Coils; all are writable.
    pub coils: Vec<(u16, u16)>,
    /// Writable holding registers.
    pub rules: Vec<Rule>,
}

/// Registers of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    input: Area<u16>,
    holding: Area<u16>,
    discrete: Area<bool>,
    coils: Area<bool>,
    rules: Vec<Rule>,
    writes: BTreeMap<u16, u64>,
    power_on: Option<Box<(Area<u16>, Area<bool>)>>,
}

impl Image {
    /// An image of zeros.
    #[must_use]
    pub fn new(map: Map) -> Image {
        Image {
            input: Area::new(&map.input),
            holding: Area::new(&map.holding),
            discrete: Area::new(&map.discrete),
            coils: Area::new(&map.coils),
            rules: map.rules,
            writes: BTreeMap::new(),
            power_on: None,
        }
    }

    /// Input registers.
    ///
    /// # Errors
    /// [`Refusal::Address`] when one of them does not exist.
    pub fn read_input(&self, at: u16, count: u16) -> Result<&[u16], Refusal> {
        self.input.read(at, count)
    }

    /// Holding registers.
    ///
    /// # Errors
    /// [`Refusal::Address`] when one of them does not exist.
    pub fn read_holding(&self, at: u16, count: u16) -> Result<&[u16], Refusal> {
        self.holding.read(at, count)
    }

    /// Discrete inputs.
    ///
    /// # Errors
    /// [`Refusal::Address`] when one of them does not exist.
    pub fn read_discrete(&self, at: u16, count: u16) -> Result<&[bool], Refusal> {
        self.discrete.read(at, count)
    }

    /// Coils.
    ///
    /// # Errors
    /// [`Refusal::Address`] when one of them does not exist.
    pub fn read_coils(&self, at: u16, count: u16) -> Result<&[bool], Refusal> {
        self.coils.read(at, count)
    }

    /// A client writes holding registers: all or nothing.
    ///
    /// # Errors
    /// [`Refusal::Address`] when a register is not writable, [`Refusal::Value`] when a value is out of range, not a
    /// number, or half of a 32-bit value.
    pub fn write_holding(&mut self, at: u16, words: &[u16]) -> Result<(), Refusal> {
        self.read_holding(at, words.len() as u16)?;
        let mut written = Vec::new();
        let mut i = 0;
        while i < words.len() {
            let address = at + i as u16;
            let half = |rule: &&Rule| matches!(rule, Rule::Float { at, .. } if address == at + 1);
            let Some(rule) = self.rules.iter().find(|rule| rule.at() == address) else {
                return Err(if self.rules.iter().any(|r| half(&r)) { Refusal::Value } else { Refusal::Address });
            };
            i += acceptable(rule, &words[i..])?;
            written.push(address);
        }
        self.holding.put(at, words);
        for address in written {
            *self.writes.entry(address).or_default() += 1;
        }
        Ok(())
    }

    /// A client writes coils.
    ///
    /// # Errors
    /// [`Refusal::Address`] when one of them does not exist.
    pub fn write_coils(&mut self, at: u16, bits: &[bool]) -> Result<(), Refusal> {
        self.read_coils(at, bits.len() as u16)?;
        self.coils.put(at, bits);
        Ok(())
    }

    /// Takes what holding registers and coils hold now as their power-on values.
    pub fn keep_power_on(&mut self) {
        self.power_on = Some(Box::new((self.holding.clone(), self.coils.clone())));
    }

    /// Returns holding registers and coils to their power-on values and forgets what clients wrote.
    pub fn power_on(&mut self) {
        if let Some(kept) = &self.power_on {
            (self.holding, self.coils) = (**kept).clone();
        }
        self.writes.clear();
    }

    /// How often clients have written the value that starts at a holding register.
    #[must_use]
    pub fn writes(&self, at: u16) -> u64 {
        self.writes.get(&at).copied().unwrap_or(0)
    }

    /// Sets input registers.
    pub fn put_input(&mut self, at: u16, words: &[u16]) {
        self.input.put(at, words);
    }

    /// Sets holding registers from the device's side.
    pub fn put_holding(&mut self, at: u16, words: &[u16]) {
        self.holding.put(at, words);
    }

    /// Sets a discrete input.
    pub fn put_discrete(&mut self, at: u16, bit: bool) {
        self.discrete.put(at, &[bit]);
    }

    /// Sets a coil from the device's side.
    pub fn put_coil(&mut self, at: u16, bit: bool) {
        self.coils.put(at, &[bit]);
    }

    /// A holding register; 0 outside the map.
    #[must_use]
    pub fn word(&self, at: u16) -> u16 {
        self.read_holding(at, 1).map_or(0, |words| words[0])
    }

    /// A float32 in holding registers; 0 outside the map.
    #[must_use]
    pub fn float(&self, at: u16, order: Order) -> f64 {
        self.read_holding(at, 2).map_or(0.0, |words| f64::from(decode_f32([words[0], words[1]], order)))
    }

    /// A coil; false outside the map.
    #[must_use]
    pub fn coil(&self, at: u16) -> bool {
        self.read_coils(at, 1).is_ok_and(|bits| bits[0])
    }
}

/// Number of words a rule takes, if it accepts them.
fn acceptable(rule: &Rule, words: &[u16]) -> Result<usize, Refusal> {
    match rule {
        Rule::Word { low, high, .. } if (*low..=*high).contains(&words[0]) => Ok(1),
        Rule::Float { order, low, high, .. } if words.len() >= 2 => {
            let value = decode_f32([words[0], words[1]], *order);
            if value.is_finite() && (*low..=*high).contains(&value) { Ok(2) } else { Err(Refusal::Value) }
        }
        _ => Err(Refusal::Value),
    }
}

fn decode_f32(words: [u16; 2], order: Order) -> f32 {
    let [a, b] = match order {
        Order::Abcd => words,
        Order::Cdab => [words[1], words[0]],
    };
    f32::from_bits(u32::from(a) << 16 | u32::from(b))
}

/// Two registers of a 32-bit pattern.
#[must_use]
pub fn encode_u32(bits: u32, order: Order) -> [u16; 2] {
    let (high, low) = ((bits >> 16) as u16, bits as u16);
    match order {
        Order::Abcd => [high, low],
        Order::Cdab => [low, high],
    }
}

/// Two registers of a float32.
#[must_use]
pub fn encode_f32(value: f64, order: Order) -> [u16; 2] {
    encode_u32((value as f32).to_bits(), order)
}

/// Four registers of a 64-bit pattern, high word first.
#[must_use]
pub fn encode_u64(bits: u64) -> [u16; 4] {
    [(bits >> 48) as u16, (bits >> 32) as u16, (bits >> 16) as u16, bits as u16]
}

/// One register in steps of `resolution`, held at the ends of its range.
#[must_use]
pub fn encode_u16(value: f64, resolution: f64) -> u16 {
    // `as` saturates at the ends of the type.
    (value / resolution).round() as u16
}

/// One register of a signed value in steps of `resolution`, held at the ends of its range.
#[must_use]
pub fn encode_i16(value: f64, resolution: f64) -> u16 {
    (value / resolution).round() as i16 as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image::new(Map {
            input: vec![(0, 4)],
            holding: vec![(0, 8), (899, 1)],
            discrete: vec![],
            coils: vec![(0, 3)],
            rules: vec![
                Rule::Word { at: 0, low: 1500, high: 8500 },
                Rule::Float { at: 4, order: Order::Cdab, low: 0.0, high: 10.0 },
                Rule::Word { at: 899, low: 0, high: u16::MAX },
            ],
        })
    }

    #[test]
    fn layouts_are_those_of_known_numbers() {
        // 1.5 is 0x3FC00000.
        assert_eq!(encode_f32(1.5, Order::Abcd), [0x3fc0, 0x0000]);
        assert_eq!(encode_f32(1.5, Order::Cdab), [0x0000, 0x3fc0]);
        assert_eq!(encode_u32(0x0102_0304, Order::Cdab), [0x0304, 0x0102]);
        assert_eq!(encode_u64(0x0102_0304_0506_0708), [0x0102, 0x0304, 0x0506, 0x0708]);
        assert_eq!(encode_i16(-1.25, 0.01), 0xff83);
        assert_eq!(encode_u16(-3.0, 0.1), 0);
        assert_eq!(encode_u16(1e9, 0.1), u16::MAX);
        assert_eq!(encode_i16(-1e9, 0.1), 0x8000);
    }

    #[test]
    fn reads_stay_inside_a_block() {
        let image = image();
        assert!(image.read_input(0, 4).is_ok());
        for (at, count) in [(0, 5), (4, 1), (3, 2), (65_535, 1)] {
            assert_eq!(image.read_input(at, count), Err(Refusal::Address), "{at} {count}");
        }
        assert!(image.read_holding(899, 1).is_ok());
        assert_eq!(image.read_holding(7, 2), Err(Refusal::Address));
    }

    #[test]
    fn writes_obey_rules_and_are_all_or_nothing() {
        let mut image = image();
        assert_eq!(image.write_holding(0, &[4000]), Ok(()));
        assert_eq!(image.write_holding(0, &[1499]), Err(Refusal::Value));
        assert_eq!(image.write_holding(1, &[1]), Err(Refusal::Address));
        assert_eq!(image.write_holding(0, &[5000, 1]), Err(Refusal::Address));
        assert_eq!(image.word(0), 4000);
        let five = encode_f32(5.0, Order::Cdab);
        assert_eq!(image.write_holding(4, &five), Ok(()));
        assert_eq!(image.float(4, Order::Cdab), 5.0);
        assert_eq!(image.write_holding(4, &five[..1]), Err(Refusal::Value));
        assert_eq!(image.write_holding(5, &five[1..]), Err(Refusal::Value));
        assert_eq!(image.write_holding(4, &encode_f32(f64::NAN, Order::Cdab)), Err(Refusal::Value));
        assert_eq!(image.write_holding(4, &encode_f32(11.0, Order::Cdab)), Err(Refusal::Value));
        assert_eq!((image.writes(0), image.writes(4), image.writes(899)), (1, 1, 0));
        assert_eq!(image.write_coils(2, &[true, true]), Err(Refusal::Address));
        assert_eq!(image.write_coils(2, &[true]), Ok(()));
        assert!(image.coil(2) && !image.coil(1));
    }
}
