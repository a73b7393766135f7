//! Owns which reads of a plan may turn out to be of one secret, named by its name and by its ARN.
//!
//! Only an answer proves it: a name says nothing of the ARN's last characters, which a new secret of the same name does not keep.

use std::collections::HashMap;

use super::Read;
use crate::manifest::Version;

/// Returns for each read of an ARN the read by name whose answer may be its own too: of the same version, with the same credential.
/// It is, if its ARN is the one that was asked for ([`SecretId::is_answered_by`](crate::manifest::reference::SecretId::is_answered_by)).
pub fn may_be_answered_by(reads: &[Read]) -> Vec<Option<usize>> {
    let mut by_name: HashMap<(usize, &Version, &str), usize> = HashMap::new();
    for (index, read) in reads.iter().enumerate().filter(|(_, read)| !read.is_path && !read.id.is_arn()) {
        by_name.insert((read.credential, &read.version, read.id.as_str()), index);
    }
    let named = |read: &Read, name: &str| by_name.get(&(read.credential, &read.version, name)).copied();
    let answering = |read: &Read| {
        // an ARN without its last characters may end as one with them does
        let partial = read.id.as_str().split(":secret:").nth(1);
        named(read, read.id.name()).or_else(|| named(read, partial?))
    };
    reads.iter().map(|read| answering(read).filter(|_| !read.is_path && read.id.is_arn())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::reference::SecretId;

    fn read(credential: usize, id: &str, version: Version) -> Read {
        Read { credential, id: SecretId::new(id).unwrap(), version, is_path: false }
    }

    #[test]
    fn an_arn_waits_for_its_name_with_the_same_credential_and_version_only() {
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crew/db-AbCdEf";
        let partial = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crew/db";
        let previous = || Version::Stage("AWSPREVIOUS".to_owned());
        let reads = [
            read(0, arn, Version::Current),
            read(0, "crew/db", Version::Current),
            read(0, partial, Version::Current),
            read(1, arn, Version::Current),
            read(0, arn, previous()),
            read(0, "crew/other", Version::Current),
            read(1, "crew/db", previous()),
        ];
        assert_eq!(may_be_answered_by(&reads), [Some(1), None, Some(1), None, None, None, None]);
    }

    #[test]
    fn the_arn_of_a_parameter_and_one_that_only_seems_to_be_whole_wait_too_and_a_path_does_not() {
        let parameter = |name: &str| format!("arn:aws:ssm:us-east-1:123456789012:parameter{name}");
        let seems_whole = "arn:aws:secretsmanager:us-east-1:123456789012:secret:crew-backup";
        let mut reads = vec![
            read(0, "/crew/token", Version::Current),
            read(0, &parameter("/crew/token"), Version::Current),
            read(0, "crew-backup", Version::Current),
            read(0, seems_whole, Version::Current),
        ];
        assert_eq!(may_be_answered_by(&reads), [None, Some(0), None, Some(2)]);
        for path in [0, 1] {
            reads[path].is_path = true;
            assert_eq!(may_be_answered_by(&reads), [None, None, None, Some(2)]);
            reads[path].is_path = false;
        }
    }

    #[test]
    fn only_the_arn_that_was_asked_for_answers() {
        let answers = |asked: &str, arn: &str| SecretId::new(asked).unwrap().is_answered_by(arn);
        let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
        assert!(answers(&arn("db-AbCdEf"), &arn("db-AbCdEf")));
        assert!(answers(&arn("db"), &arn("db-AbCdEf")));
        assert!(!answers(&arn("db-AbCdEf"), &arn("db-GhIjKl")));
        assert!(!answers(&arn("db"), &arn("db-prod-AbCdEf")));
        assert!(!answers(&arn("db"), &arn("dbs-AbCdEf")));
        assert!(!answers("db", &arn("db-AbCdEf")));
    }
}
