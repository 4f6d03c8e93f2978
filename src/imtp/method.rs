//! The twenty methods: which service has them, who sends them, what they carry and how they may fail.
//!
//! Everything here is the draft's tables (sections 12 and 14 to 16) as `match`es.

use super::Protocol;
use super::error_type::ErrorType;
use super::message::Header;

macro_rules! methods {
    ($($name:ident $text:literal)*) => {
        /// What a command asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Method {
            /// All of them.
            pub const ALL: [Method; 20] = [$(Method::$name),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Method::$name => $text,)* }
            }

            /// The method so written, of either service; the case counts (COMMON-10-27).
            pub fn of(text: &str) -> Option<Method> {
                match text { $($text => Some(Method::$name),)* _ => None }
            }
        }
    };
}

methods! {
    Auth "auth"
    Shutdown "shutdown"
    Change "change"
    ChangeNotify "change-notify"
    DeleteMapping "delete-mapping"
    Fetch "fetch"
    FetchForUpdate "fetch-for-update"
    FetchNotify "fetch-notify"
    GetClass "get-class"
    InsertMapping "insert-mapping"
    SetClass "set-class"
    StartWi "start-wi"
    Subscribe "subscribe"
    SubscribeNotify "subscribe-notify"
    Terminate "terminate"
    TerminateNotify "terminate-notify"
    Unsubscribe "unsubscribe"
    UnsubscribeNotify "unsubscribe-notify"
    Listen "listen"
    Send "send"
}

/// Who has sent a command, as the receiver sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// A client, to its home server.
    Client,
    /// A home server, to its client.
    Home,
    /// A server of another domain.
    Peer,
}

/// May there be a payload?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowed {
    /// It is forbidden.
    No,
    /// There may be one.
    May,
    /// There has to be one.
    Must,
}

impl Method {
    /// Does the service have it?
    pub fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Method::Auth | Method::Shutdown => true,
            Method::Listen | Method::Send => protocol == Protocol::Imtp,
            _ => protocol == Protocol::Pitp,
        }
    }

    /// Does it change a presentity's list?
    pub fn edits(self) -> bool {
        matches!(self, Method::Change | Method::DeleteMapping | Method::InsertMapping | Method::SetClass)
    }

    /// Does it read the list?
    pub fn reads_list(self) -> bool {
        matches!(self, Method::FetchForUpdate | Method::GetClass)
    }

    /// Is it sent by this side? `auth` only by who opened the connection, which the connection knows.
    pub fn is_sent_by(self, side: Side) -> bool {
        match self {
            Method::Send => true,
            Method::Auth | Method::Fetch | Method::Subscribe | Method::Unsubscribe => side != Side::Home,
            Method::ChangeNotify | Method::TerminateNotify => side != Side::Client,
            Method::Shutdown | Method::FetchNotify | Method::SubscribeNotify | Method::UnsubscribeNotify => {
                side == Side::Home
            }
            Method::Change
            | Method::DeleteMapping
            | Method::FetchForUpdate
            | Method::GetClass
            | Method::InsertMapping
            | Method::SetClass
            | Method::StartWi
            | Method::Terminate
            | Method::Listen => side == Side::Client,
        }
    }

    /// The header that names who asks, if source authorization applies (PITP-12-1 to -5, IMTP-12-1, -2).
    pub fn source(self) -> Option<Header> {
        match self {
            Method::Auth
            | Method::Shutdown
            | Method::FetchNotify
            | Method::SubscribeNotify
            | Method::TerminateNotify
            | Method::UnsubscribeNotify => None,
            Method::Change
            | Method::ChangeNotify
            | Method::DeleteMapping
            | Method::FetchForUpdate
            | Method::GetClass
            | Method::InsertMapping
            | Method::SetClass
            | Method::StartWi
            | Method::Terminate => Some(Header::Presentity),
            Method::Fetch => Some(Header::Watcher),
            Method::Subscribe | Method::Unsubscribe => Some(Header::Subscription),
            Method::Listen => Some(Header::Inbox),
            Method::Send => Some(Header::Sender),
        }
    }

    /// The header that names to whom it is done.
    pub fn target(self) -> Option<Header> {
        match self {
            Method::Fetch | Method::Subscribe => Some(Header::Presentity),
            Method::Send => Some(Header::Inbox),
            _ => None,
        }
    }

    /// The payload of the command; of `auth`, what it may have depends on its headers.
    pub fn payload(self) -> Allowed {
        match self {
            Method::Auth | Method::Change | Method::InsertMapping => Allowed::May,
            Method::ChangeNotify | Method::Send => Allowed::Must,
            _ => Allowed::No,
        }
    }

    /// The payload of its ok. A mapping without a document has none to give (TOC-72).
    pub fn ok_payload(self) -> Allowed {
        match self {
            Method::Auth | Method::Send | Method::FetchForUpdate => Allowed::May,
            Method::Fetch | Method::Subscribe => Allowed::Must,
            _ => Allowed::No,
        }
    }

    /// Is that a valid answer (COMMON-12-8 to -17)?
    pub fn may_fail_with(self, error: ErrorType) -> bool {
        use ErrorType as E;
        match error {
            E::Malformed | E::UnknownMethod | E::Resources | E::Communications => true,
            E::SourceAuthorization | E::Quota => self.source().is_some(),
            E::TargetAuthorization | E::TargetNotFound => self.target().is_some(),
            E::SaslChallenge | E::SaslFailure => self == Method::Auth,
            E::UpdateRace => self == Method::Change,
            E::NoListeners | E::Loop => self == Method::Send,
            E::MappingRange => matches!(
                self,
                Method::Change
                    | Method::DeleteMapping
                    | Method::FetchForUpdate
                    | Method::GetClass
                    | Method::InsertMapping
                    | Method::SetClass
            ),
            E::NotSubscribed => matches!(
                self,
                Method::ChangeNotify | Method::Terminate | Method::TerminateNotify | Method::Unsubscribe
            ),
        }
    }

    /// What says that the source has asked too much, or sent too large a payload (TOC-33, TOC-34).
    pub fn too_much(self) -> ErrorType {
        if self.source().is_some() { ErrorType::Quota } else { ErrorType::Resources }
    }

    /// Does the command define this header? One that it doesn't is treated like an unknown one (TOC-41).
    pub fn defines(self, header: Header) -> bool {
        match header {
            Header::Mechanism | Header::Abort => self == Method::Auth,
            Header::Presentity => self.is_of(Protocol::Pitp) && self.is_only_of_one(),
            Header::Watcher => {
                matches!(self, Method::Fetch | Method::FetchNotify | Method::UnsubscribeNotify)
            }
            Header::Mapping => self.may_fail_with(ErrorType::MappingRange),
            Header::Wpattern => matches!(self, Method::InsertMapping | Method::SetClass),
            Header::Subscription => matches!(
                self,
                Method::ChangeNotify
                    | Method::Subscribe
                    | Method::SubscribeNotify
                    | Method::Terminate
                    | Method::TerminateNotify
                    | Method::Unsubscribe
                    | Method::UnsubscribeNotify
            ),
            Header::Sender | Header::Visited | Header::OrigSender | Header::OrigInbox => self == Method::Send,
            Header::Inbox => matches!(self, Method::Listen | Method::Send),
            Header::Only | Header::Except => self == Method::Listen,
            Header::ContentLength
            | Header::ContentType
            | Header::ContentTransferEncoding
            | Header::Astrength
            | Header::AStrength => true,
            Header::ErrorType | Header::ErrorDescription | Header::ErrorOriginator | Header::Unreliable => {
                false
            }
        }
    }

    /// Does its ok, or else its error, define this header?
    pub fn response_defines(self, ok: bool, header: Header) -> bool {
        match header {
            Header::ErrorType | Header::ErrorDescription | Header::ErrorOriginator => !ok,
            Header::Unreliable => ok && matches!(self, Method::Send | Method::ChangeNotify),
            Header::Wpattern => ok && self == Method::GetClass,
            Header::Subscription => ok && self == Method::StartWi,
            Header::ContentLength
            | Header::ContentType
            | Header::ContentTransferEncoding
            | Header::Astrength
            | Header::AStrength => true,
            _ => false,
        }
    }

    fn is_only_of_one(self) -> bool {
        !matches!(self, Method::Auth | Method::Shutdown)
    }
}
