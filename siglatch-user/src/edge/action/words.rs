//! What a program is told: its arguments and its environment. Never anything of the daemon's own.

use std::ffi::{CString, c_char};
use std::ptr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::gate::{Call, How, Job, NotStarted, Why};

/// Texts for `execve`.
#[derive(Debug)]
pub(super) struct Words {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// Pointers to texts, and a null one behind them.
pub(super) struct Pointers<'w>(Vec<*const c_char>, std::marker::PhantomData<&'w CString>);

impl Words {
    /// Those of one run; nothing if one could not be passed on whole.
    pub(super) fn of(command: &[CString], job: &Job) -> Option<Self> {
        let Call { knock, source, user, user_name, action, action_name, sealed, payload } = &job.call;
        let told = [
            ("SOURCE", source.to_string()),
            ("USER_ID", user.0.to_string()),
            ("USER", user_name.clone()),
            ("ACTION_ID", action.0.to_string()),
            ("ACTION", action_name.clone()),
            ("SEALED", u8::from(*sealed).to_string()),
            ("PAYLOAD", STANDARD.encode(payload.as_bytes())),
        ];
        let (why, failed) = match job.why {
            Why::Knock => ("knock", None),
            Why::Undo(_) => ("undo", None),
            Why::Failure(_, how) => ("failure", Some(("FAILED", failure(how)))),
        };
        let more = [("KNOCK", knock.to_string()), ("WHY", why.to_owned())].into_iter().chain(failed);
        let set = |(name, value): &(&str, String)| CString::new(format!("SIGLATCH_{name}={value}")).ok();
        let mut environment = vec![Some(CString::from(PATH))];
        environment.extend(told.iter().map(set));
        environment.extend(more.map(|pair| set(&pair)));
        let arguments = told.into_iter().map(|(_, value)| CString::new(value).ok());
        Some(Self {
            arguments: command.iter().cloned().map(Some).chain(arguments).collect::<Option<_>>()?,
            environment: environment.into_iter().collect::<Option<_>>()?,
        })
    }

    pub(super) fn arguments(&self) -> Pointers<'_> {
        Pointers::to(&self.arguments)
    }

    pub(super) fn environment(&self) -> Pointers<'_> {
        Pointers::to(&self.environment)
    }
}

impl<'w> Pointers<'w> {
    fn to(texts: &'w [CString]) -> Self {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]);
        Self(pointers.collect(), std::marker::PhantomData)
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.0.as_ptr()
    }
}

fn failure(how: How) -> String {
    match how {
        How::Exited(code) => format!("exit:{code}"),
        How::Killed(signal) => format!("signal:{signal}"),
        How::Bounded(bound) => format!("bound:{}", bound.label()),
        How::NotStarted(why) => format!("not_started:{}", NotStarted::label(why)),
        How::Lost => "lost".to_owned(),
    }
}

/// All that a program finds of an environment besides what it is told.
const PATH: &std::ffi::CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use siglatch_common::address::Address;
    use siglatch_common::wire::v1::{ActionId, Payload, UserId};

    use super::*;
    use crate::gate::{Bound, JobId, KnockId};
    use crate::policy::ProgramId;

    #[test]
    fn arguments_come_in_the_order_that_scripts_expect() {
        let words = Words::of(&[c"/opt/vpn".into(), c"--add".into()], &job(Why::Knock, b"\0\xff")).unwrap();
        let arguments = ["/opt/vpn", "--add", "192.0.2.1", "7", "ann", "9", "vpn", "1", "AP8="];
        assert_eq!(texts(&words.arguments), arguments);
        let environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SIGLATCH_SOURCE=192.0.2.1",
            "SIGLATCH_USER_ID=7",
            "SIGLATCH_USER=ann",
            "SIGLATCH_ACTION_ID=9",
            "SIGLATCH_ACTION=vpn",
            "SIGLATCH_SEALED=1",
            "SIGLATCH_PAYLOAD=AP8=",
            "SIGLATCH_KNOCK=0000000100000002",
            "SIGLATCH_WHY=knock",
        ];
        assert_eq!(texts(&words.environment), environment);
    }

    #[test]
    fn a_program_that_runs_for_a_failure_is_told_which() {
        for (how, text) in [
            (How::Exited(3), "exit:3"),
            (How::Killed(9), "signal:9"),
            (How::Bounded(Bound::Time), "bound:time"),
            (How::NotStarted(NotStarted::Missing), "not_started:missing"),
            (How::Lost, "lost"),
        ] {
            let words = Words::of(&[], &job(Why::Failure(JobId(1), how), b"")).unwrap();
            let texts = texts(&words.environment);
            assert_eq!(texts[9..], ["SIGLATCH_WHY=failure", &format!("SIGLATCH_FAILED={text}")]);
        }
    }

    #[test]
    fn nothing_with_a_zero_byte_is_passed_on() {
        let mut job = job(Why::Knock, b"");
        job.call.user_name = "a\0b".into();
        assert!(Words::of(&[], &job).is_none());
    }

    fn job(why: Why, payload: &[u8]) -> Job {
        let call = Call {
            knock: KnockId::new(1, 2),
            source: Address::v4([192, 0, 2, 1]),
            user: UserId(7),
            user_name: "ann".into(),
            action: ActionId(9),
            action_name: "vpn".into(),
            sealed: true,
            payload: Payload::new(payload).unwrap(),
        };
        Job { id: JobId(1), program: ProgramId(0), why, call }
    }

    fn texts(texts: &[CString]) -> Vec<&str> {
        texts.iter().map(|text| text.to_str().unwrap()).collect()
    }
}
