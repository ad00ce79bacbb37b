//! Kubernetes' exec credentials: the question is in `KUBERNETES_EXEC_INFO`
//! (<https://kubernetes.io/docs/reference/config-api/client-authentication.v1/>).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Asked, Garbage, Given, json};

/// Before Kubernetes 1.22 there was only the second.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// What kubectl wants to know.
#[derive(Debug)]
pub(crate) struct Question {
    version: &'static str,
    /// `None` where kubectl was not told to say it.
    pub(crate) asked: Option<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    api_version: String,
    kind: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Spec {
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

impl Question {
    /// Reads the variable.
    ///
    /// # Errors
    ///
    /// What is no `ExecCredential` of a version that is known.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Garbage> {
        let info: Info = serde_json::from_slice(bytes)
            .map_err(|_| Garbage("says no ExecCredential in KUBERNETES_EXEC_INFO"))?;
        if info.kind != "ExecCredential" {
            return Err(Garbage("says no ExecCredential in KUBERNETES_EXEC_INFO"));
        }
        let version = VERSIONS
            .into_iter()
            .find(|version| *version == info.api_version)
            .ok_or(Garbage("asks by a version that is not known"))?;
        let asked = match info.spec.cluster {
            None => None,
            // Whoever answers there may be anyone.
            Some(cluster) if cluster.insecure_skip_tls_verify => Some(Asked::Unboundable(
                "a cluster whose certificate is not looked at".to_owned(),
            )),
            Some(cluster) => Some(Asked::by_address(&cluster.server)?),
        };
        Ok(Self { version, asked })
    }

    /// The answer.
    pub(crate) fn answer(&self, given: Given<'_>) -> Zeroizing<String> {
        let at = given
            .ask_again_at_ms
            .and_then(|ms| Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok());
        let answer = Answer {
            api_version: self.version,
            kind: "ExecCredential",
            status: Status {
                expiration_timestamp: at.map(|at| at.to_string()),
                token: given.token,
            },
        };
        json(&answer, given.token)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_timestamp: Option<String>,
    token: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::tests::GARBAGE;
    use super::*;

    fn info(version: &str, spec: &str) -> String {
        format!(
            r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/{version}","spec":{spec}}}"#
        )
    }

    #[test]
    fn the_answer_has_the_questions_version_and_an_end() {
        let text = info(
            "v1beta1",
            r#"{"cluster":{"server":"https://k8s.example:6443","config":null},"interactive":false}"#,
        );
        let question = Question::read(text.as_bytes()).unwrap();
        let host = "k8s.example:6443".parse().unwrap();
        assert_eq!(question.asked, Some(Asked::Host(host)));
        let given = Given {
            token: "fake-token",
            ask_again_at_ms: Some(1_700_000_000_999),
        };
        assert_eq!(
            *question.answer(given),
            r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"expirationTimestamp":"2023-11-14T22:13:20Z","token":"fake-token"}}"#
        );
    }

    #[test]
    fn a_cluster_that_is_not_said_or_not_proved_is_no_host_to_be_bound() {
        let question = Question::read(info("v1", r#"{"interactive":true}"#).as_bytes()).unwrap();
        assert_eq!(question.asked, None);
        for cluster in [
            r#"{"server":"https://k8s.example","insecure-skip-tls-verify":true}"#,
            r#"{"server":"http://k8s.example"}"#,
        ] {
            let text = info("v1", &format!(r#"{{"cluster":{cluster}}}"#));
            let question = Question::read(text.as_bytes()).unwrap();
            assert!(
                matches!(question.asked, Some(Asked::Unboundable(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_exec_credential_is_refused() {
        let other = info("v1", "{}").replace("ExecCredential", "Pod");
        for text in [
            info("v2", "{}"),
            other,
            info("v1", r#"{"cluster":{"server":"nowhere"}}"#),
            info("v1", r#"{"cluster":7}"#),
        ] {
            assert!(Question::read(text.as_bytes()).is_err(), "{text}");
        }
        for bytes in GARBAGE {
            assert!(Question::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
