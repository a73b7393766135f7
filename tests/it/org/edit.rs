//! Edits of the org file: what changes, what stays byte for byte, and which forms are refused.

use proptest::prelude::*;
use secretbake::org::change::{Change, FieldValue, NewField};
use secretbake::org::edit::edit;
use zeroize::Zeroizing;

const ORG: &str = "# ours\nversion: 1\ncredentials:   # the list\n  # production\n  - name: aws-prod   # note\n    provider: aws-secrets-manager\n\
\x20   region: us-east-1\n    default: true # yes\n    access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }  # in CI\n\n\
\x20 # tests\n  - name: local\n    provider: file\n    path: secrets.yaml\n# the end\n";

fn text(text: &str) -> FieldValue {
    FieldValue::Text(Zeroizing::new(text.to_owned()))
}

fn set(name: &str, fields: Vec<NewField>, unset: &[&str]) -> Change {
    Change::Set { name: name.to_owned(), fields, unset: unset.iter().map(|name| (*name).to_owned()).collect() }
}

fn remove(name: &str) -> Change {
    Change::Remove { name: name.to_owned() }
}

fn file_credential(name: &str) -> Vec<NewField> {
    vec![("name", text(name)), ("provider", text("file")), ("path", text("other.yaml"))]
}

fn edited(org: &str, change: &Change) -> String {
    match edit("org.yaml", org, change) {
        Ok(text) => text.to_string(),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

/// Checks that a change is refused at this place, and that nothing of the file is shown.
fn refused(org: &str, change: &Change, at: &str) {
    let said = edited(org, change);
    let expected = format!(
        "org.yaml:{at}: credentials: the file is not in a form that can be changed without breaking it\n  hint: "
    );
    assert!(said.starts_with(&expected) && !said.contains("canary"), "{org}: {said}");
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    let expected = ORG.replace("us-east-1", "eu-west-1").replace("{ env: KEY }", "{ file: keys/prod.key }");
    let fields =
        vec![("region", text("eu-west-1")), ("secret_access_key", FieldValue::File("keys/prod.key".to_owned()))];
    assert_eq!(edited(ORG, &set("aws-prod", fields, &[])), expected);
    let odd = "a \"key\": with # odd\tsigns";
    let expected = ORG.replace("{ env: KEY }", r#""a \"key\": with # odd\tsigns""#);
    assert_eq!(edited(ORG, &set("aws-prod", vec![("secret_access_key", text(odd))], &[])), expected);
}

#[test]
fn a_new_field_stands_behind_the_others_and_a_field_can_go() {
    let role = "arn:aws:iam::123456789012:role/reader";
    let expected = ORG.replace("# in CI\n", &format!("# in CI\n    role_arn: {role}\n"));
    assert_eq!(edited(ORG, &set("aws-prod", vec![("role_arn", text(role))], &[])), expected);
    assert_eq!(edited(&expected, &set("aws-prod", vec![], &["role_arn"])), ORG);
}

#[test]
fn a_credential_is_added_behind_the_last_and_taken_out_again() {
    let added =
        ORG.replace("secrets.yaml\n", "secrets.yaml\n  - name: other\n    provider: file\n    path: other.yaml\n");
    assert_eq!(edited(ORG, &Change::Add(file_credential("other"))), added);
    assert_eq!(edited(&added, &remove("other")), ORG);
}

#[test]
fn the_first_credential_and_the_last_one() {
    let first = "version: 1\ncredentials:\n  - name: other\n    provider: file\n    path: other.yaml\n";
    for empty in ["version: 1\ncredentials: []\n", "version: 1\n", "version: 1", "version: 1\ncredentials: []"] {
        let found = edited(empty, &Change::Add(file_credential("other")));
        assert_eq!(found.trim_end(), first.trim_end(), "{empty:?}");
    }
    assert_eq!(edited(first, &remove("other")), "version: 1\ncredentials: []\n");
    let commented =
        "version: 1\ncredentials: # none yet\n  - name: other\n    provider: file\n    path: x # y\n# end\n";
    assert_eq!(edited(commented, &remove("other")), "version: 1\ncredentials: [] # none yet\n# end\n");
}

#[test]
fn the_default_moves() {
    let mut fields = file_credential("second");
    fields.push(("default", FieldValue::Flag(true)));
    let org = edited(ORG, &set("local", vec![("default", FieldValue::Flag(true))], &[]));
    assert!(
        org.contains("default: true # yes") && org.contains("    path: secrets.yaml\n    default: true\n"),
        "{org}"
    );
    let org = edited(&org, &Change::Add(fields));
    assert!(org.contains("default: true # yes"), "the default of another provider stays: {org}");
    assert!(org.contains("    path: secrets.yaml\n    default: false\n"), "{org}");
    assert!(org.contains("    path: other.yaml\n    default: true\n"), "{org}");
}

#[test]
fn an_edit_that_makes_no_default_leaves_the_default_where_it_is() {
    let org = edited(ORG, &set("local", vec![("default", FieldValue::Flag(true))], &[]));
    let org = edited(&org, &Change::Add(file_credential("second")));
    for field in [("path", text("new.yaml")), ("default", FieldValue::Flag(false))] {
        let org = edited(&org, &set("second", vec![field], &[]));
        assert!(org.contains("    path: secrets.yaml\n    default: true\n"), "{org}");
    }
}

#[test]
fn a_quote_in_single_quotes_does_not_end_the_value() {
    let org = ORG.replace("secrets.yaml", "'the crew''s secrets.yaml'  # ours");
    let expected = ORG.replace("secrets.yaml", "new.yaml  # ours");
    assert_eq!(edited(&org, &set("local", vec![("path", text("new.yaml"))], &[])), expected);
}

#[test]
fn a_key_below_its_field_is_replaced_there_and_keeps_its_comments() {
    let env = |name: &str| set("aws-prod", vec![("secret_access_key", FieldValue::Env(name.to_owned()))], &[]);
    let below = " # rotated by ops\n      # from vault\n      env: KEY  # in CI";
    let org = ORG.replace(" { env: KEY }  # in CI", below);
    assert_eq!(edited(&org, &env("NEW")), org.replace("env: KEY", "env: NEW"));
    let file = set("aws-prod", vec![("secret_access_key", FieldValue::File("keys/prod.key".to_owned()))], &[]);
    assert_eq!(edited(&org, &file), org.replace("env: KEY", "file: keys/prod.key"));
    let literal = set("aws-prod", vec![("secret_access_key", text("a b"))], &[]);
    assert_eq!(edited(&org, &literal), org.replace("env: KEY", "\"a b\""));
    let region = ORG.replace("region: us-east-1", "region: # where they live\n      us-east-1");
    let change = set("aws-prod", vec![("region", text("eu-west-1"))], &[]);
    assert_eq!(edited(&region, &change), region.replace("us-east-1", "eu-west-1"));
}

#[test]
fn a_change_that_would_lose_a_comment_is_refused_at_its_field() {
    let org = ORG.replace("{ env: KEY }", "{ env: KEY, # canary\n      }");
    let said = edited(&org, &set("aws-prod", vec![("secret_access_key", FieldValue::Env("NEW".to_owned()))], &[]));
    assert!(said.starts_with("org.yaml:10:5: credentials: the file is not in a form"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_credential_is_added_behind_the_comments_on_the_last_one() {
    let last = "    path: secrets.yaml\n    # mode: of the file\n\n      # deeper\n\n";
    let org = ORG.replace("    path: secrets.yaml\n", &format!("{last}  # not on its fields\n"));
    let added = "  - name: other\n    provider: file\n    path: other.yaml\n";
    let expected = org.replace("      # deeper\n", &format!("      # deeper\n{added}"));
    assert_eq!(edited(&org, &Change::Add(file_credential("other"))), expected);
}

#[test]
fn what_a_removal_leaves_takes_a_credential_again() {
    let item = "  - name: other\n    provider: file\n    path: other.yaml\n";
    let org = format!("version: 1\ncredentials: # ours\n{item}# the end\n");
    let without = edited(&org, &remove("other"));
    assert_eq!(without, "version: 1\ncredentials: [] # ours\n# the end\n");
    assert_eq!(edited(&without, &Change::Add(file_credential("other"))), org);
    for empty in ["[]  # none yet", "[ ]", "[ ]\t# none yet", "[\n  ]"] {
        let found = edited(&format!("version: 1\ncredentials: {empty}\n"), &Change::Add(file_credential("other")));
        let comment = empty.split_once(']').unwrap().1;
        assert_eq!(found, format!("version: 1\ncredentials:{comment}\n{item}"), "{empty}");
    }
}

#[test]
fn a_credential_in_braces_is_changed_within_them_and_stands_beside_others() {
    let head = "version: 1\ncredentials:\n";
    let braces = "  - { name: local, provider: file, path: s.yaml, }  # note\n";
    let org = format!("{head}{braces}");
    let added = "  - name: other\n    provider: file\n    path: other.yaml\n";
    assert_eq!(edited(&org, &Change::Add(file_credential("other"))), format!("{org}{added}"));
    let default = set("local", vec![("default", FieldValue::Flag(true))], &[]);
    let changed = org.replace("s.yaml", "s.yaml, default: true");
    assert_eq!(edited(&org, &default), changed);
    let moved = set("other", vec![("default", FieldValue::Flag(true))], &[]);
    let expected = format!("{}{added}    default: true\n", changed.replace("true", "false"));
    assert_eq!(edited(&format!("{changed}{added}"), &moved), expected);
    assert_eq!(edited(&format!("{org}{added}"), &remove("local")), format!("{head}{added}"));
    let json = format!(r#"{head}  - {{"name":"local","provider":"file","path":"s.yaml"}}"#);
    let change = set("local", vec![("path", text("a b.yaml"))], &[]);
    assert_eq!(edited(&json, &change), json.replace("s.yaml", "a b.yaml"));
}

#[test]
fn lines_may_end_as_on_an_old_machine() {
    let org = ORG.replace('\n', "\r");
    let role = "arn:aws:iam::123456789012:role/reader";
    let added = edited(&org, &set("aws-prod", vec![("role_arn", text(role))], &[]));
    assert_eq!(added, org.replace("# in CI\r", &format!("# in CI\r    role_arn: {role}\r")));
    assert_eq!(edited(&added, &set("aws-prod", vec![], &["role_arn"])), org);
    let mixed = ORG.replacen('\n', "\r", 6);
    let expected = mixed.replace("    default: true # yes\n", "");
    assert_eq!(edited(&mixed, &set("aws-prod", vec![], &["default"])), expected);
}

#[test]
fn a_form_that_cannot_be_edited_is_refused() {
    for (org, at) in [
        ("version: 1\ncredentials: [{ name: local, provider: file, path: canary }]\n", "2:15"),
        ("{ version: 1, credentials: [] }", "1:1"),
        ("version: 1\ncredentials: [ # canary\n  ]\n", "2:14"),
        ("version: 1\ncredentials:\n  -\n    name: local\n    provider: file\n    path: canary\n", "4:5"),
        ("version: 1\ncredentials:\n  - name: local\n    provider: file\n    path: canary\n...\n# more\n", "1:1"),
    ] {
        let change = if org.ends_with("more\n") { remove("missing") } else { Change::Add(file_credential("other")) };
        refused(org, &change, at);
    }
    let twice = edited(ORG, &Change::Add(file_credential("local")));
    assert!(twice.contains("a second credential of this name"), "{twice}");
}

#[test]
fn a_field_that_shares_its_line_is_not_taken_out() {
    let first = "version: 1\ncredentials:\n  - default: true\n    name: local\n    provider: file\n    path: canary\n";
    refused(first, &set("local", vec![], &["default"]), "3:5");
    let braces = "version: 1\ncredentials:\n  - { name: local, provider: file, path: s, default: true }\n";
    refused(braces, &set("local", vec![], &["default"]), "3:45");
}

const TWO_KEYS: &str = "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n\
\x20   access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: &key { env: KEY }\n    session_token: *key\n";

#[test]
fn an_alias_is_neither_changed_nor_taken_out() {
    let between = TWO_KEYS.replace("    session", "    default: true\n    session");
    for (org, at) in [(TWO_KEYS, "8:5"), (&between, "9:5")] {
        let changed = vec![("session_token", FieldValue::Env("NEW".to_owned()))];
        refused(org, &set("aws", changed, &[]), at);
        refused(org, &set("aws", vec![], &["session_token"]), at);
    }
}

#[test]
fn a_change_that_would_reach_another_credential_is_refused() {
    let aws = |name: &str, variable: &str| {
        format!(
            "  - name: {name}\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
             access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: {{ env: {variable} }}\n"
        )
    };
    // without the second anchor, the alias would mean the first
    let items = [aws("a", "&key FIRST"), aws("b", "&key SECOND"), aws("c", "*key")];
    let org = format!("version: 1\ncredentials:\n{}", items.concat());
    refused(&org, &set("b", vec![("secret_access_key", FieldValue::Env("NEW".to_owned()))], &[]), "1:1");
}

/// A file of credentials as lines: comments above, fields with spaces and comments behind them.
#[derive(Debug, Clone)]
struct Written {
    bom: bool,
    newline: &'static str,
    list_indent: usize,
    gap: usize,
    items: Vec<(String, Vec<String>, String, String)>,
    end: String,
}

impl Written {
    fn text(&self) -> String {
        let mut lines = vec!["# é head".to_owned(), "version: 1".to_owned(), "credentials: # list".to_owned()];
        let dash = format!("{}-{}", " ".repeat(self.list_indent), " ".repeat(self.gap));
        let indent = " ".repeat(dash.len());
        for (name, comments, path, behind) in &self.items {
            lines.extend(comments.iter().map(|comment| format!("{}{comment}", " ".repeat(self.list_indent))));
            lines.push(format!("{dash}name: {name}{behind}"));
            lines.push(format!("{indent}provider:  file{behind}"));
            lines.push(format!("{indent}path: {path}{behind}"));
        }
        let text = lines.iter().map(|line| format!("{line}{}", self.newline)).collect::<String>();
        format!("{}{text}{}", if self.bom { "\u{feff}" } else { "" }, self.end)
    }
}

prop_compose! {
    fn written()(
        bom in any::<bool>(),
        newline in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        list_indent in 0usize..4,
        gap in 1usize..4,
        items in prop::collection::vec((
            prop::collection::vec("#[ a-zé:'\"{}-]{0,12}|", 0..3),
            prop::sample::select(vec!["plain.yaml", "'single quoted'", "\"dou\\\"ble é\"", "wide é.yaml"]),
            prop::sample::select(vec!["", "  # behind é: - x", " "]),
        ), 1..5),
        end in prop::sample::select(vec!["", "# end", "\n"]),
    ) -> Written {
        let items = items.into_iter().enumerate()
            .map(|(index, (comments, path, behind))| (format!("n{index}"), comments, path.to_owned(), behind.to_owned()))
            .collect();
        Written { bom, newline, list_indent, gap, items, end: end.replace('\n', newline) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_not_edited_stays_byte_for_byte(written in written(), pick in any::<prop::sample::Index>(), path in "[ -~é]{1,20}") {
        let (org, index) = (written.text(), pick.index(written.items.len()));
        let name = format!("n{index}");
        let found = edited(&org, &set(&name, vec![("path", text(&path))], &[]));
        let (before, after) = (marked(&written, index), found);
        let (head, tail) = before.split_once("MARK").unwrap();
        prop_assert!(after.starts_with(head) && after.ends_with(tail), "{org:?} became {after:?}");
        // and back
        let old = written.items[index].2.trim_matches(['\'', '"']).replace("\\\"", "\"");
        let back = edited(&after, &set(&name, vec![("path", text(&old))], &[]));
        prop_assert!(back.starts_with(head) && back.ends_with(tail), "{after:?} became {back:?}");
        if written.items.len() > 1 {
            let mut fewer = written.clone();
            let comments = fewer.items.remove(index).1;
            match fewer.items.get_mut(index) {
                Some(next) => next.1.splice(0..0, comments),
                None => return Ok(()),
            };
            prop_assert_eq!(edited(&org, &remove(&name)), fewer.text());
        }
        let mut more = written.clone();
        more.items.push(("other".to_owned(), vec![], "other.yaml".to_owned(), String::new()));
        let expected = more.text();
        let expected = match expected.rsplit_once("provider:  file") {
            Some((head, tail)) => format!("{head}provider: file{tail}"),
            None => expected,
        };
        prop_assert_eq!(edited(&org, &Change::Add(file_credential("other"))), expected);
    }
}

fn marked(written: &Written, index: usize) -> String {
    let mut written = written.clone();
    written.items[index].2 = "MARK".to_owned();
    written.text()
}

/// The forms of a key's source; `#1` to `#3` are where a comment may stand.
const SOURCES: [&str; 5] = [
    "{ env: KEY }#1",
    "#1\n#2\n      env: KEY#3",
    "#1\n      { env: KEY }#2",
    "#1\n\n      \"env\": KEY#2",
    "{ env: KEY,#1\n      }#2",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_comment_is_lost(
        source in prop::sample::select(SOURCES.to_vec()),
        comments in prop::collection::vec("( # [ a-zé:'\"{}#-]{0,9})?", 3),
        newline in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        new in prop::sample::select(vec![0, 1, 2]),
    ) {
        let source = (1..4).fold(source.to_owned(), |source, n| source.replace(&format!("#{n}"), &comments[n - 1]));
        let org = ORG.replace("{ env: KEY }  # in CI", &source).replace('\n', newline);
        let value = [FieldValue::Env("NEW".to_owned()), FieldValue::File("n.key".to_owned()), text("a \"b\" #c")];
        let change = set("aws-prod", vec![("secret_access_key", value.into_iter().nth(new).unwrap())], &[]);
        let found = edited(&org, &change);
        if source.contains(",") && !comments[0].is_empty() {
            prop_assert!(found.contains("without breaking it"), "{found}");
            return Ok(());
        }
        // all but the source itself is as it was
        let parts = if source.starts_with('{') { ["{ env: KEY }", "{ env: NEW }"] } else { ["env: KEY", "env: NEW"] };
        if new == 0 && !source.contains(['"', ',']) && source.contains(parts[0]) {
            prop_assert_eq!(found, org.replacen(parts[0], parts[1], 1));
        } else {
            let of = |text: &str| text.split(['\n', '\r']).filter_map(|line| line.split_once(" # ").map(|(_, comment)| comment.to_owned())).collect::<Vec<_>>();
            prop_assert_eq!(of(&found), of(&org), "{} became {}", org, found);
        }
    }
}
