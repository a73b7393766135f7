//! What AWS answers, as far as no SDK reads it: Parameter Store's responses, and the refusals of every service.

use secretbake::image::time::rfc3339;
use secretbake::manifest::Version;
use secretbake::manifest::reference::SecretId;
use secretbake::secrets::aws::asked_host::AskedHost;
use secretbake::secrets::aws::call_error::{CallError, ServiceError};
use secretbake::secrets::aws::diagnose::{Caller, Operation, diagnose};
use secretbake::secrets::aws::parameter_answers::{MetadataPage, ParameterHistory, Parameters, PathPage, history};
use secretbake::secrets::aws::parameter_fault;

use super::texts::printable;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] = &[("parameters", parameters), ("aws-refusal", refusal)];

fn id(text: &str) -> SecretId {
    SecretId::new(text).expect("a name")
}

/// The four responses of Parameter Store: a description has each version once, and exactly one version is the current one.
pub fn parameters(input: &[u8]) {
    let id = id("/crew/prod/db");
    let values = serde_json::from_slice::<Parameters>(input).map(|page| page.parameters);
    let below = serde_json::from_slice::<PathPage>(input).map(|page| page.parameters);
    for parameter in values.into_iter().flatten().chain(below.into_iter().flatten()) {
        let _ = (parameter.is(&id), parameter.into_value().map(|value| value.bytes.len()));
    }
    let described = serde_json::from_slice::<MetadataPage>(input).map(|page| page.parameters);
    for metadata in described.into_iter().flatten() {
        let _ = metadata.is(&id, &[id.to_string()]);
        let _ = metadata.description().changed.map(rfc3339);
    }
    let Ok(ParameterHistory { parameters, .. }) = serde_json::from_slice(input) else { return };
    let count = parameters.len();
    if let Some(description) = history(&id, parameters) {
        assert_eq!(description.versions.len(), count);
        let is_current = |stages: &[String]| stages.iter().any(|stage| stage == "AWSCURRENT");
        assert!(description.versions.iter().any(|version| is_current(&version.stages)));
        let _ = description.changed.map(rfc3339);
    }
}

/// A refusal: the first line is the header with its code, the rest the body. No diagnosis shows what was sent.
pub fn refusal(input: &[u8]) {
    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    const EXTERNAL_ID: &str = "crew-7-of-9";
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let header = std::str::from_utf8(&input[..at]).ok().filter(|header| !header.is_empty());
    let meta = parameter_fault(header, input.get(at + 1..).unwrap_or_default());
    let Some(code) = meta.code() else { return };
    let refusal = ServiceError {
        code: code.to_owned(),
        message: meta.message().map(str::to_owned),
        request_id: header.map(str::to_owned),
    };
    let fault = CallError::Refused(refusal);
    let caller = Caller {
        credential: "aws-prod",
        region: "us-east-1",
        access_key_id: KEY,
        account: Some("123456789012"),
        is_of_role: false,
        has_token: false,
        secrets: vec![EXTERNAL_ID],
    };
    let (secret, parameter, role) =
        (id("database-credentials"), id("/crew/prod/db"), "arn:aws:iam::123456789012:role/r");
    for operation in [
        Operation::Identity,
        Operation::AssumeRole { role, external_id: true },
        Operation::AssumeRoleWithToken { role, claims: None },
        Operation::Read { id: &secret, version: &Version::Current, known: None },
        Operation::Describe { id: &secret },
        Operation::List,
        Operation::Parameter { id: &parameter, known: None },
        Operation::ListParameters,
    ] {
        let diagnostic = diagnose(&caller, &operation, &AskedHost::default(), &fault).diagnostic;
        let text = diagnostic.to_string();
        assert!(!text.contains(KEY) && !text.contains(EXTERNAL_ID), "{text}");
        printable(&[*diagnostic]);
    }
}
