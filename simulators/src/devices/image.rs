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
    /// The device works on an earlier request and takes no other.
    Busy,
}

/// What a device's protocol stack can do; the default is all that Modbus permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Most registers of one read, 1 to 125; exception 3 beyond.
    pub read_registers_max: u16,
    /// Functions 15 and 16 are implemented; exception 1 where not.
    pub write_multiple: bool,
}

impl Default for Abilities {
    fn default() -> Abilities {
        Abilities { read_registers_max: 125, write_multiple: true }
    }
}

/// Registers or bits with consecutive addresses; what lies outside all blocks of an area does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block<T> {
    base: u16,
    cells: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Area<T>(Vec<Block<T>>);

impl Area<u16> {
    /// Exchanges the two registers of a pair.
    fn turn(&mut self, at: u16) {
        if let Ok(&[first, second]) = self.read(at, 2) {
            self.put(at, &[second, first]);
        }
    }
}

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
    /// An unsigned 32-bit number in two registers, high word first, written as a whole, within an inclusive range.
    Long {
        /// PDU address of the first register.
        at: u16,
        /// Least value.
        low: u32,
        /// Greatest value.
        high: u32,
    },
}

impl Rule {
    fn at(&self) -> u16 {
        match self {
            Rule::Word { at, .. } | Rule::Float { at, .. } | Rule::Long { at, .. } => *at,
        }
    }

    /// Whether an address is the second register of a value.
    fn is_half(&self, address: u16) -> bool {
        !matches!(self, Rule::Word { .. }) && address.checked_sub(1) == Some(self.at())
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
    abilities: Abilities,
    turned: bool,
    busy: bool,
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
            abilities: Abilities::default(),
            turned: false,
            busy: false,
        }
    }

    /// What the protocol stack of the device can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Restricts the protocol stack of the device.
    pub fn restrict(&mut self, abilities: Abilities) {
        self.abilities = abilities;
    }

    /// While busy, writes of clients are refused.
    pub fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// Lays the device's own 32-bit values into their register pairs in the other order, as some firmware updates do, or
    /// in the documented one again. Pairs of the holding area turn at once, those of the input area when they are laid
    /// the next time. Maps that a standard defines ([`Rule::Long`]) keep their order.
    pub fn turn_words(&mut self, turned: bool) {
        if self.turned == turned {
            return;
        }
        self.turned = turned;
        for rule in &self.rules {
            if let Rule::Float { at, .. } = rule {
                self.holding.turn(*at);
                if let Some(kept) = &mut self.power_on {
                    kept.0.turn(*at);
                }
            }
        }
    }

    /// The order pairs have at present where the map says `order`.
    fn order(&self, order: Order) -> Order {
        match (self.turned, order) {
            (false, order) => order,
            (true, Order::Abcd) => Order::Cdab,
            (true, Order::Cdab) => Order::Abcd,
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
    /// number, or half of a 32-bit value, [`Refusal::Busy`] while the device is busy.
    pub fn write_holding(&mut self, at: u16, words: &[u16]) -> Result<(), Refusal> {
        self.read_holding(at, words.len() as u16)?;
        if self.busy {
            return Err(Refusal::Busy);
        }
        let mut written = Vec::new();
        let mut i = 0;
        while i < words.len() {
            let address = at + i as u16;
            let Some(rule) = self.rules.iter().find(|rule| rule.at() == address) else {
                let half = self.rules.iter().any(|rule| rule.is_half(address));
                return Err(if half { Refusal::Value } else { Refusal::Address });
            };
            i += self.acceptable(rule, &words[i..])?;
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
    /// [`Refusal::Address`] when one of them does not exist, [`Refusal::Busy`] while the device is busy.
    pub fn write_coils(&mut self, at: u16, bits: &[bool]) -> Result<(), Refusal> {
        self.read_coils(at, bits.len() as u16)?;
        if self.busy {
            return Err(Refusal::Busy);
        }
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

    /// Sets a pair of input registers that hold one 32-bit value, given in the documented order of the map.
    pub fn put_input_pair(&mut self, at: u16, words: [u16; 2]) {
        let [first, second] = words;
        let laid = if self.turned { [second, first] } else { words };
        self.input.put(at, &laid);
    }

    /// Sets holding registers from the device's side, given in the documented order of the map.
    pub fn put_holding(&mut self, at: u16, words: &[u16]) {
        self.holding.put(at, words);
        if self.turned {
            let last = usize::from(at) + words.len();
            let laid = |from: u16| from >= at && usize::from(from) + 1 < last;
            for rule in &self.rules {
                if let Rule::Float { at, .. } = rule
                    && laid(*at)
                {
                    self.holding.turn(*at);
                }
            }
        }
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
        self.read_holding(at, 2).map_or(0.0, |words| f64::from(decode_f32([words[0], words[1]], self.order(order))))
    }

    /// An unsigned 32-bit number in holding registers, high word first; 0 outside the map.
    #[must_use]
    pub fn long(&self, at: u16) -> u32 {
        self.read_holding(at, 2).map_or(0, |words| u32::from(words[0]) << 16 | u32::from(words[1]))
    }

    /// A coil; false outside the map.
    #[must_use]
    pub fn coil(&self, at: u16) -> bool {
        self.read_coils(at, 1).is_ok_and(|bits| bits[0])
    }

    /// Number of words a rule takes, if it accepts them.
    fn acceptable(&self, rule: &Rule, words: &[u16]) -> Result<usize, Refusal> {
        match (rule, words) {
            (Rule::Word { low, high, .. }, [word, ..]) if (*low..=*high).contains(word) => Ok(1),
            (Rule::Float { order, low, high, .. }, [first, second, ..]) => {
                let value = decode_f32([*first, *second], self.order(*order));
                if value.is_finite() && (*low..=*high).contains(&value) { Ok(2) } else { Err(Refusal::Value) }
            }
            (Rule::Long { low, high, .. }, [first, second, ..]) => {
                let value = u32::from(*first) << 16 | u32::from(*second);
                if (*low..=*high).contains(&value) { Ok(2) } else { Err(Refusal::Value) }
            }
            _ => Err(Refusal::Value),
        }
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
#[path = "image_tests.rs"]
mod tests;
