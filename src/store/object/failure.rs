//! Why a request failed, in words that contain no credentials, and whether another attempt may succeed.
use object_store::client::HttpErrorKind;
use std::error::Error as StdError;

/// A failed request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Whether it may pass by itself.
    pub(super) passing: bool,
    /// The status of the server's answer, if there was one.
    pub(super) status: Option<u16>,
}

impl Failure {
    /// The failure behind an error of the client.
    ///
    /// Addresses, headers and answers can contain credentials and signatures. So of an answer only the status and the
    /// server's code and message are kept, and of a cut connection only the innermost cause.
    pub(super) fn of(error: &object_store::Error, secrets: &Secrets) -> Self {
        let first: &(dyn StdError + 'static) = error;
        let chain = || std::iter::successors(Some(first), |link| (**link).source());
        if let Some(failure) = chain().find_map(|link| answered(&link.to_string())) {
            return Self { why: secrets.removed_from(&failure.why), ..failure };
        }
        let cause = chain().last().map(ToString::to_string).unwrap_or_default();
        let host = chain().find_map(|link| host_of(&link.to_string()));
        let http = chain().find_map(|link| link.downcast_ref::<object_store::client::HttpError>());
        let (passing, why) = match http {
            Some(http) => {
                let details = host.into_iter().chain([cause]).collect::<Vec<_>>().join(": ");
                (true, format!("{} ({details})", transport(http.kind())))
            }
            None => (false, without_queries(&error.to_string())),
        };
        Self { why: secrets.removed_from(&why), passing, status: None }
    }

    /// A failure that may pass.
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), passing: true, status: None }
    }
}

/// Whether another attempt may be answered otherwise: the server is overloaded or about to change.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 200 | 408 | 409 | 429 | 500 | 502..=599)
}

/// The failure that an error of the client describes, if it is an answer of the server. The client has no other form of
/// it than this text.
fn answered(text: &str) -> Option<Failure> {
    let (status, body) = match text.strip_prefix("Server returned non-2xx status code: ") {
        Some(rest) => rest.split_once(": ").unwrap_or((rest, "")),
        None => ("200 OK", text.strip_prefix("Server returned error response: ")?),
    };
    let number = status.get(..3)?.parse().ok()?;
    let details: Vec<_> = ["Code", "Message"].iter().filter_map(|tag| element(body, tag)).collect();
    let why = match details.is_empty() {
        true => format!("the server answered {status}"),
        false => format!("the server answered {status} ({})", details.join(": ")),
    };
    Some(Failure { why, passing: may_pass(number), status: Some(number) })
}

/// The server that a request went to, which may be that of the credentials: all of its address that contains none.
fn host_of(text: &str) -> Option<String> {
    let address = text.strip_prefix("Error performing ")?.split(' ').nth(1)?;
    let url = url::Url::parse(address).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.into(), |port| format!("{host}:{port}")))
}

/// The first line of an element of XML.
fn element<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    let (content, _) = rest.split_once(&format!("</{tag}>"))?;
    let line = content.lines().next()?.trim();
    let end = line.char_indices().nth(200).map_or(line.len(), |(at, _)| at);
    line.get(..end).filter(|line| !line.is_empty())
}

fn transport(kind: HttpErrorKind) -> &'static str {
    match kind {
        HttpErrorKind::Connect => "there is no connection",
        HttpErrorKind::Timeout => "there was no answer in time",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection was cut",
        HttpErrorKind::Decode => "the answer could not be read",
        _ => "the request could not be completed",
    }
}

/// The text with each address up to its query, which may contain a signature.
fn without_queries(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => address,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The credentials that the client was given, which no error may contain.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Keeps the value of an option if its name is that of a credential.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        let parts = ["key", "secret", "token", "password", "sas", "credential", "service_account"];
        // A shorter value would change words that it is a part of by chance.
        if value.len() >= 6 && parts.iter().any(|part| name.contains(part)) {
            self.0.push(value.into());
        }
    }

    pub(super) fn removed_from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_string(), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Text(String);

    fn failure(text: &str, secrets: &[(&str, &str)]) -> Failure {
        let mut all = Secrets::default();
        secrets.iter().for_each(|(name, value)| all.add(name, value));
        let source = Box::new(Text(text.into()));
        Failure::of(&object_store::Error::Generic { store: "S3", source }, &all)
    }

    #[test]
    fn answers_are_reduced_to_status_code_and_message() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature differs.\nDetails</Message>\
                    <AWSAccessKeyId>AKIA-1</AWSAccessKeyId><SignatureProvided>abc</SignatureProvided></Error>";
        let text = format!("Server returned non-2xx status code: 403 Forbidden: {body}");
        let failure_ = failure(&text, &[]);
        let why = "the server answered 403 Forbidden (SignatureDoesNotMatch: The signature differs.)";
        assert_eq!((failure_.why.as_str(), failure_.passing, failure_.status), (why, false, Some(403)));
        let busy = failure("Server returned non-2xx status code: 503 Service Unavailable: ", &[]);
        assert_eq!(busy.why, "the server answered 503 Service Unavailable");
        assert!(busy.passing);
        let late = failure("Server returned error response: <Error><Code>InternalError</Code></Error>", &[]);
        assert_eq!((late.why.as_str(), late.passing), ("the server answered 200 OK (InternalError)", true));
    }

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        let host = |address: &str| host_of(&format!("Error performing PUT {address} in 3ms - HTTP error"));
        assert_eq!(host("http://user:secret@127.0.0.1:9000/b/a?sig=x").unwrap(), "127.0.0.1:9000");
        assert_eq!(host("https://s3.amazonaws.com/b").unwrap(), "s3.amazonaws.com");
        assert_eq!(host("REDACTED"), None);
    }

    #[test]
    fn which_answers_may_change() {
        let passing = [200, 408, 409, 429, 500, 502, 503, 504];
        assert!(passing.into_iter().all(may_pass));
        assert!(![301, 400, 401, 403, 404, 411, 412, 501].into_iter().any(may_pass));
    }

    #[test]
    fn neither_queries_nor_secrets_are_shown() {
        let text = "cannot open https://host/a?sig=abc or parse s3cr3t-value, no";
        let failure = failure(text, &[("aws_secret_access_key", "s3cr3t-value"), ("region", "cannot")]);
        assert_eq!(failure.why, "Generic S3 error: cannot open https://host/a or parse …, no");
        assert!(!failure.passing);
    }
}
