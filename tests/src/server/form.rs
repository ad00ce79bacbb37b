//! Request parameters, read strictly.
//!
//! A parameter without a value counts as left out, and no parameter may come twice (RFC 6749
//! section 3.1 and 3.2), `resource` excepted (RFC 8707 section 2).

use super::state::Refusal;

/// The parameters of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text, from a body or a query.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            if name != "resource" && pairs.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::new("invalid_request", "a parameter came twice"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// A parameter's value, if it is there and not empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A parameter's value.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.value(name).ok_or(Refusal::new(
            "invalid_request",
            "a required parameter is missing",
        ))
    }

    /// The values of `resource`, and of `audience`, by which some servers mean the same.
    pub(super) fn resources(&self) -> Vec<String> {
        let resources = self.0.iter().filter(|(name, value)| {
            matches!(name.as_str(), "resource" | "audience") && !value.is_empty()
        });
        resources.map(|(_, value)| value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_comes_twice_is_refused_even_with_the_same_value() {
        assert!(Parameters::parse(b"a=1&a=1").is_err());
        assert!(Parameters::parse(b"a=&a=1").is_err());
        let twice = Parameters::parse(b"resource=https://a&resource=https://b").expect("allowed");
        assert_eq!(twice.resources(), ["https://a", "https://b"]);
    }

    #[test]
    fn a_parameter_without_a_value_is_left_out() {
        let parameters = Parameters::parse(b"scope=&code=a+b%21").expect("well-formed");
        assert_eq!(parameters.value("scope"), None);
        assert!(parameters.required("scope").is_err());
        assert_eq!(parameters.required("code"), Ok("a b!"));
    }
}
