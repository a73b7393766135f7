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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_user_and_perhaps_a_group_by_number_or_name() {
        let number = |number| Id::Number(number);
        let name = |name: &str| Id::Name(name.to_owned());
        for (text, user, group) in [
            ("1000", number(1000), None),
            ("0:50", number(0), Some(number(50))),
            ("app", name("app"), None),
            ("app:staff", name("app"), Some(name("staff"))),
            ("7-zip:_x.y$", name("7-zip"), Some(name("_x.y$"))),
        ] {
            assert_eq!(Owner::parse(text), Some(Owner { user, group }), "{text}");
        }
        for text in ["", ":", "1000:", ":50", "+5", "a b", "a:b:c", "4294967296", "app/staff"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }
}
