//! The admin protocol, version 1: one JSON object a line, a reply for each request. Never reads from a socket.
//!
//! ```text
//! {"siglatch":1,"do":"ban","network":"192.0.2.0/24","for":7200,"comment":"scanner"}
//! {"siglatch":1,"ok":{"entry":{…},"replaced":false}}
//! {"siglatch":1,"error":{"code":"full","message":"…","help":"…"}}
//! ```
//!
//! A request with a field that is not known is refused: what it asks for would not be done. A reply may say more than
//! its reader knows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    ActionList, BanOrder, BanPage, Banned, BansQuery, DebtPage, DebtsQuery, DebugOrder, DebugState, DebugTarget,
    DisableOrder, ExtendOrder, Extended, GrantPage, GrantsQuery, KnownPage, KnownQuery, Lifted, Reloaded, RevokeOrder,
    Revoked, SequenceList, Status, SwitchTarget, Switched, UnbanOrder, UserPage, UsersQuery,
};

/// The version that this program speaks.
pub const VERSION: u64 = 1;

/// The longest request, in bytes, without the end of its line.
pub const REQUEST_MAX: usize = 4096;

/// The longest reply, in bytes: a page of bans with the longest comments is a third of it.
pub const REPLY_MAX: usize = 2 * 1024 * 1024;

/// What the daemon is asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it is.
    Status {},
    /// Who is banned.
    Bans(BansQuery),
    /// Ban somebody.
    Ban(BanOrder),
    /// Lift a ban.
    Unban(UnbanOrder),
    /// Whose knocks are told in full.
    Debug {},
    /// Tell somebody's knocks in full.
    DebugOn(DebugOrder),
    /// Do not any more; without a user or a source, nobody's.
    DebugOff(DebugTarget),
    /// Who has authenticated lately.
    Known(KnownQuery),
    /// Who is let in.
    Grants(GrantsQuery),
    /// End grants, and undo what came with them.
    Revoke(RevokeOrder),
    /// Let grants hold for longer.
    Extend(ExtendOrder),
    /// Who may knock.
    Users(UsersQuery),
    /// What can be knocked for.
    Actions {},
    /// What must be knocked for in order.
    Sequences {},
    /// What is still to be undone.
    Debts(DebtsQuery),
    /// Read the configuration again, and go by it.
    Reload {},
    /// Say what a reload would do.
    Check {},
    /// Switch something on that an operator has switched off.
    Enable(SwitchTarget),
    /// Switch something off.
    Disable(DisableOrder),
}

/// Who in the daemon answers a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Addressee {
    /// The thread that judges knocks.
    Judge,
    /// The thread that keeps the filter's lists.
    Warden,
    /// Whoever reads the configuration.
    Errands,
}

/// What somebody may do who may ask at all.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// See how everything is.
    Observe,
    /// See it and change it.
    Operate,
}

/// What the daemon replies when it has done what it was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Bans`].
    Bans(BanPage),
    /// To [`Request::Ban`].
    Banned(Banned),
    /// To [`Request::Unban`].
    Lifted(Lifted),
    /// To [`Request::Debug`], [`Request::DebugOn`] and [`Request::DebugOff`].
    Debug(DebugState),
    /// To [`Request::Known`].
    Known(KnownPage),
    /// To [`Request::Grants`].
    Grants(GrantPage),
    /// To [`Request::Revoke`].
    Revoked(Revoked),
    /// To [`Request::Extend`].
    Extended(Extended),
    /// To [`Request::Users`].
    Users(UserPage),
    /// To [`Request::Actions`].
    Actions(ActionList),
    /// To [`Request::Sequences`].
    Sequences(SequenceList),
    /// To [`Request::Debts`].
    Debts(DebtPage),
    /// To [`Request::Reload`] and [`Request::Check`].
    Reloaded(Box<Reloaded>),
    /// To [`Request::Enable`] and [`Request::Disable`].
    Switched(Switched),
}

/// Why the daemon has not done what it was asked.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
#[error("{message}{}", .help.as_ref().map_or_else(String::new, |help| format!(": {help}")))]
pub struct Problem {
    /// What kind of problem it is.
    pub code: Code,
    /// What is wrong, in a few words.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The line is no request.
    Malformed,
    /// The request is of another version of the protocol.
    Version,
    /// There is no such request.
    UnknownRequest,
    /// Too many ask at once.
    Busy,
    /// There was no answer in time.
    Late,
    /// Whoever asks may not.
    Forbidden,
    /// There is no room.
    Full,
    /// There is no such ban.
    NotBanned,
    /// There is no such user, or the like.
    NoSuch,
    /// It stands in a file of the configuration, and would come back.
    FromFile,
    /// The kernel or the disk did not take it.
    Failed,
    /// One that this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why a line from the daemon is of no use.
#[derive(Debug, Error)]
pub enum ReplyFlaw {
    /// The daemon says what is wrong.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The daemon speaks another version.
    #[error("the daemon speaks version {theirs} of the admin protocol, this siglatchctl version {VERSION}")]
    Version {
        /// The daemon's.
        theirs: u64,
    },
    /// It is no reply.
    #[error("what the daemon said is no reply: {0}")]
    Malformed(String),
}

impl Request {
    /// The line that asks it.
    #[must_use]
    pub fn to_line(&self) -> String {
        line(&Ask { siglatch: VERSION, request: self })
    }

    /// The request of a line, which may end with its line's end.
    ///
    /// # Errors
    /// The [`Problem`] that the one who asked is to be told.
    pub fn from_line(bytes: &[u8]) -> Result<Self, Problem> {
        let malformed = |message: String| Problem { code: Code::Malformed, message, help: None };
        if bytes.len() > REQUEST_MAX + 1 {
            return Err(Problem::too_long());
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|flaw| malformed(format!("the request is no JSON object: {flaw}")))?;
        match fields.remove("siglatch").as_ref().map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(theirs)) => return Err(Problem::version(theirs)),
            Some(None) | None => {
                return Err(malformed(format!("the request lacks its version: \"siglatch\":{VERSION}")));
            }
        }
        let Some(Value::String(wanted)) = fields.get("do") else {
            return Err(malformed("the request does not say what to do".to_owned()));
        };
        if !Self::NAMES.contains(&wanted.as_str()) {
            return Err(Problem::unknown_request(wanted));
        }
        serde_json::from_value(Value::Object(fields)).map_err(|flaw| malformed(flaw.to_string()))
    }

    /// The word under `do`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Bans(_) => "bans",
            Self::Ban(_) => "ban",
            Self::Unban(_) => "unban",
            Self::Debug {} => "debug",
            Self::DebugOn(_) => "debug_on",
            Self::DebugOff(_) => "debug_off",
            Self::Known(_) => "known",
            Self::Grants(_) => "grants",
            Self::Revoke(_) => "revoke",
            Self::Extend(_) => "extend",
            Self::Users(_) => "users",
            Self::Actions {} => "actions",
            Self::Sequences {} => "sequences",
            Self::Debts(_) => "debts",
            Self::Reload {} => "reload",
            Self::Check {} => "check",
            Self::Enable(_) => "enable",
            Self::Disable(_) => "disable",
        }
    }

    /// Who in the daemon answers it.
    #[must_use]
    pub const fn addressee(&self) -> Addressee {
        match self {
            Self::Status {} | Self::Bans(_) | Self::Ban(_) | Self::Unban(_) | Self::Known(_) => Addressee::Warden,
            Self::Debug {}
            | Self::DebugOn(_)
            | Self::DebugOff(_)
            | Self::Grants(_)
            | Self::Revoke(_)
            | Self::Extend(_)
            | Self::Users(_)
            | Self::Actions {}
            | Self::Sequences {}
            | Self::Debts(_) => Addressee::Judge,
            Self::Reload {} | Self::Check {} | Self::Enable(_) | Self::Disable(_) => Addressee::Errands,
        }
    }

    /// What somebody must be allowed who asks it. To check a file is work, and tells what nobody goes by yet.
    #[must_use]
    pub const fn role(&self) -> Role {
        let is_work = matches!(self, Self::Check {});
        if is_work || self.is_order() { Role::Operate } else { Role::Observe }
    }

    /// Whether it changes something.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        match self {
            Self::Ban(_)
            | Self::Unban(_)
            | Self::DebugOn(_)
            | Self::DebugOff(_)
            | Self::Revoke(_)
            | Self::Extend(_)
            | Self::Reload {}
            | Self::Enable(_)
            | Self::Disable(_) => true,
            Self::Status {}
            | Self::Bans(_)
            | Self::Debug {}
            | Self::Known(_)
            | Self::Grants(_)
            | Self::Users(_)
            | Self::Actions {}
            | Self::Sequences {}
            | Self::Debts(_)
            | Self::Check {} => false,
        }
    }

    /// Every word that can stand under `do`.
    pub const NAMES: [&str; 19] = [
        "status",
        "bans",
        "ban",
        "unban",
        "debug",
        "debug_on",
        "debug_off",
        "known",
        "grants",
        "revoke",
        "extend",
        "users",
        "actions",
        "sequences",
        "debts",
        "reload",
        "check",
        "enable",
        "disable",
    ];
}

impl Reply {
    /// The line that says it.
    #[must_use]
    pub fn to_line(&self) -> String {
        line(&Done { siglatch: VERSION, ok: self })
    }
}

impl Problem {
    /// More of a name that nobody has helps nobody.
    const NAME_SHOWN: usize = 32;

    /// A problem without a cure.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// Nothing of that kind has that name. As it comes from whoever asks, not all of it is shown.
    #[must_use]
    pub fn no_such(kind: &str, name: &str) -> Self {
        let shown: String = name.chars().take(Self::NAME_SHOWN).flat_map(char::escape_debug).collect();
        Self::new(Code::NoSuch, format!("there is no {kind} \"{shown}\""))
    }

    /// The same, with a cure.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The request is longer than [`REQUEST_MAX`].
    #[must_use]
    pub fn too_long() -> Self {
        Self::new(Code::Malformed, format!("the request is longer than {REQUEST_MAX} bytes"))
    }

    /// Whoever asks may not: everything, or only this.
    #[must_use]
    pub fn forbidden(wanted: Role) -> Self {
        let (message, key) = match wanted {
            Role::Observe => ("you may not ask this daemon anything", "observers` or `operators"),
            Role::Operate => ("you may ask this daemon how it is, and change nothing", "operators"),
        };
        Self::new(Code::Forbidden, message)
            .with_help(format!("run this as root, or have your user or group put under `{key}` of [admin]"))
    }

    /// The line that says it.
    #[must_use]
    pub fn to_line(&self) -> String {
        line(&Undone { siglatch: VERSION, error: self })
    }

    fn version(theirs: u64) -> Self {
        Self::new(Code::Version, format!("the daemon speaks version {VERSION} of the admin protocol, not {theirs}"))
            .with_help("use the siglatchctl that came with the daemon, or start the daemon that came with siglatchctl")
    }

    fn unknown_request(wanted: &str) -> Self {
        let wanted: String = wanted.chars().take(32).flat_map(char::escape_debug).collect();
        Self::new(Code::UnknownRequest, format!("the daemon knows no request \"{wanted}\""))
            .with_help("it is older than this siglatchctl: start the daemon that came with it, and it takes over")
    }
}

/// What the daemon replied in a line.
///
/// # Errors
/// [`ReplyFlaw::Refused`] with what the daemon says; the others if it makes no sense.
pub fn reply_from_line<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReplyFlaw> {
    let malformed = |flaw: serde_json::Error| ReplyFlaw::Malformed(flaw.to_string());
    let heard: Heard = serde_json::from_slice(bytes).map_err(malformed)?;
    if heard.siglatch != VERSION {
        return Err(ReplyFlaw::Version { theirs: heard.siglatch });
    }
    match (heard.error, heard.ok) {
        (Some(problem), _) => Err(ReplyFlaw::Refused(serde_json::from_value(problem).map_err(malformed)?)),
        (None, Some(ok)) => serde_json::from_value(ok).map_err(malformed),
        (None, None) => Err(ReplyFlaw::Malformed("it says neither ok nor error".to_owned())),
    }
}

#[derive(Serialize)]
struct Ask<'a> {
    siglatch: u64,
    #[serde(flatten)]
    request: &'a Request,
}

#[derive(Serialize)]
struct Done<'a> {
    siglatch: u64,
    ok: &'a Reply,
}

#[derive(Serialize)]
struct Undone<'a> {
    siglatch: u64,
    error: &'a Problem,
}

#[derive(Deserialize)]
struct Heard {
    siglatch: u64,
    #[serde(default)]
    ok: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

fn line(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("every key is a text, and every number is finite");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
