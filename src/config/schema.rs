//! The shape of a section as data: its keys, their types and defaults, and what ringway does with each.
//!
//! Stage: engine. The tables stand at the top of the file of each component. Everything else about keys is derived from them:
//! what is known, what is nearest to a misspelt one, which value holds where none is written, what is refused and
//! what is accepted without effect. A default is written in its table and nowhere else.

/// A map with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Section {
    own: &'static [Key],
    /// Keys that another section has too.
    shared: &'static [Key],
    /// Whether an unknown key is an error. Where the Collector lets it pass (sections that embed its generic HTTP
    /// server, `confighttp` v0.161.0), it is a warning.
    pub(super) is_strict: bool,
}

/// One key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) support: Support,
}

/// The type of a value, with its default.
#[derive(Debug)]
pub(super) enum Kind {
    Bool(bool),
    /// An integer of Go's type `type_name`, within `min..=max`.
    Int {
        default: i64,
        type_name: &'static str,
        min: i64,
        max: i64,
    },
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Text(&'static str),
    /// A string that is in no message; empty where it is not written.
    Secret,
    /// A list of strings, or one string with commas.
    Texts(&'static [&'static str]),
    /// A map of strings, or a list of `{name, value}`. The values are secrets.
    Pairs,
    /// The id of one component, if any.
    Id,
    /// A list of component ids.
    Ids,
    /// A plain sub-section: null leaves its defaults alone.
    Section(&'static Section),
    /// A sub-section that is on or off.
    Optional(Optional),
    /// Anything at all, looked at elsewhere or not at all.
    Any,
}

/// A sub-section that is on or off.
///
/// Source: Collector `config/configoptional` v1.67.0; `absent: false, null: true` is its `Default`, `null: false` its `None`.
#[derive(Debug)]
pub(super) struct Optional {
    pub(super) section: &'static Section,
    /// Whether it is on when the key is not written.
    pub(super) absent: bool,
    /// Whether it is on when the value is null.
    pub(super) null: bool,
    /// Whether it takes the key `enabled`.
    pub(super) has_switch: bool,
}

/// What ringway does with a key that is set to something else than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// What the Collector does.
    Honoured,
    /// Nothing, and a warning says so. For what cannot change which data arrive where.
    NoEffect,
    /// An error: to ignore it would be unsafe or change the meaning. The text says what to do instead; it may be empty.
    Refused(&'static str),
}

impl Section {
    /// A section that refuses unknown keys.
    pub(super) const fn strict(keys: &'static [Key]) -> Self {
        Self { own: keys, shared: &[], is_strict: true }
    }

    /// A section that lets unknown keys pass.
    pub(super) const fn lenient(keys: &'static [Key]) -> Self {
        Self { own: keys, shared: &[], is_strict: false }
    }

    /// Adds keys that stand in a table of their own, because several sections have them.
    pub(super) const fn with(self, shared: &'static [Key]) -> Self {
        Self { shared, ..self }
    }

    /// All keys: its own, then the shared ones.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.own.iter().chain(self.shared)
    }

    /// The type and default of one key.
    pub(super) fn kind_of(&self, name: &str) -> Option<&'static Kind> {
        self.keys().find(|key| key.name == name).map(|key| &key.kind)
    }
}

impl Key {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, support: Support::Honoured }
    }

    pub(super) const fn no_effect(mut self) -> Self {
        self.support = Support::NoEffect;
        self
    }

    pub(super) const fn refused(mut self, advice: &'static str) -> Self {
        self.support = Support::Refused(advice);
        self
    }
}

pub(super) const fn boolean(name: &'static str, default: bool) -> Key {
    Key::new(name, Kind::Bool(default))
}

/// Go's `int` or `int64`.
pub(super) const fn int(name: &'static str, default: i64) -> Key {
    Key::new(name, Kind::Int { default, type_name: "int", min: i64::MIN, max: i64::MAX })
}

pub(super) const fn uint32(name: &'static str, default: u32) -> Key {
    let kind = Kind::Int { default: default as i64, type_name: "uint32", min: 0, max: u32::MAX as i64 };
    Key::new(name, kind)
}

pub(super) const fn uint16(name: &'static str, default: u16) -> Key {
    let kind = Kind::Int { default: default as i64, type_name: "uint16", min: 0, max: u16::MAX as i64 };
    Key::new(name, kind)
}

pub(super) const fn float(name: &'static str, default: f64) -> Key {
    Key::new(name, Kind::Float(default))
}

/// The default is in milliseconds.
pub(super) const fn duration(name: &'static str, default_ms: i64) -> Key {
    Key::new(name, Kind::Duration(default_ms * 1_000_000))
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Key {
    Key::new(name, Kind::Text(default))
}

pub(super) const fn secret(name: &'static str) -> Key {
    Key::new(name, Kind::Secret)
}

pub(super) const fn texts(name: &'static str, default: &'static [&'static str]) -> Key {
    Key::new(name, Kind::Texts(default))
}

pub(super) const fn pairs(name: &'static str) -> Key {
    Key::new(name, Kind::Pairs)
}

pub(super) const fn id(name: &'static str) -> Key {
    Key::new(name, Kind::Id)
}

pub(super) const fn ids(name: &'static str) -> Key {
    Key::new(name, Kind::Ids)
}

pub(super) const fn any(name: &'static str) -> Key {
    Key::new(name, Kind::Any)
}

pub(super) const fn section(name: &'static str, section: &'static Section) -> Key {
    Key::new(name, Kind::Section(section))
}

/// Off unless written; on even when written as null.
pub(super) const fn off_until_written(name: &'static str, section: &'static Section) -> Key {
    Key::new(name, Kind::Optional(Optional { section, absent: false, null: true, has_switch: true }))
}

/// On unless `enabled: false`.
pub(super) const fn on_until_disabled(name: &'static str, section: &'static Section) -> Key {
    Key::new(name, Kind::Optional(Optional { section, absent: true, null: true, has_switch: true }))
}

/// Off unless a map is written.
pub(super) const fn off_until_a_map(name: &'static str, section: &'static Section) -> Key {
    Key::new(name, Kind::Optional(Optional { section, absent: false, null: false, has_switch: true }))
}

/// Off unless a map is written; no `enabled`. A pointer in the Collector's Go.
pub(super) const fn pointer(name: &'static str, section: &'static Section) -> Key {
    Key::new(name, Kind::Optional(Optional { section, absent: false, null: false, has_switch: false }))
}
