//! Owns the mode and the owner of a file, as the user writes them.

/// The mode and the owner of a new file; `None` for the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Permission bits.
    pub mode: Option<u32>,
    pub owner: Option<Owner>,
}

/// `USER[:GROUP]`; names are looked up in the base's `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub user: Id,
    pub group: Option<Id>,
}

/// A user or group, by number or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    Number(u32),
    Name(String),
}

impl Owner {
    /// Reads `USER[:GROUP]`, the format of an image's `User` too.
    pub fn parse(text: &str) -> Option<Self> {
        let id = |part: &str| match part.parse::<u32>() {
            Ok(number) if part.bytes().all(|b| b.is_ascii_digit()) => Some(Id::Number(number)),
            _ => {
                let is_name = !part.is_empty()
                    && !part.bytes().all(|b| b.is_ascii_digit())
                    && part.chars().all(|c| c.is_alphanumeric() || "_.-$@".contains(c));
                is_name.then(|| Id::Name(part.to_owned()))
            }
        };
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let group = match group {
            None => None,
            Some(group) => Some(id(group)?),
        };
        Some(Owner { user: id(user)?, group })
    }
}
