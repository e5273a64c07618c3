//! Why a mail is not sent.

/// The reason why a mail was not sent.
#[derive(Debug)]
pub enum Failure {
    /// The mail can never be sent.
    Hopeless(String),
    /// The server does not accept this mail now. It may accept others.
    Refused(String),
    /// The server has received this mail, but has not said whether it accepts it.
    #[cfg_attr(not(feature = "mail"), expect(dead_code, reason = "there is no server"))]
    Unanswered(String),
    /// The server does not answer, or does not let us in. Every other mail would fail too.
    Unreachable(String),
}
