//! Refusals: numbers 6, 8 and 10 of the crate documentation.

use crate::access::{self, Asking};
use crate::http::{RequestHead, Response};
use crate::path::PlainPath;
use crate::policy::{Answer, Decision, Event, Policy};
use crate::reply::{Help, Rejection};
use crate::session::Attempt;

impl Policy {
    /// Refuses a request in the way that suits who asks.
    pub(crate) fn refuse(
        &self,
        rejection: Rejection,
        head: &RequestHead<'_>,
        cookies_are_dead: bool,
    ) -> Decision<'static> {
        Decision::Answer(self.refusal(rejection, head, cookies_are_dead))
    }

    fn refusal(&self, rejection: Rejection, head: &RequestHead<'_>, cookies_are_dead: bool) -> Answer {
        let by = Asking::of(head);
        let Some(session) = &self.session else {
            let response = rejection.answer(by, head, &Help::default());
            return Answer { response, event: Event::Refused(rejection) };
        };
        let endpoint = session.endpoint(PlainPath::new(head.path()).as_ref());
        let is_read = matches!(head.method(), b"GET" | b"HEAD");
        let way_out = match by {
            Asking::Navigation if rejection == Rejection::CookieBlocked => {
                Some(session.return_location(head, &self.sources))
            }
            _ if !rejection.is_about_credentials() => None,
            Asking::Navigation if rejection.asks() => Some(session.clean_location(head.target())),
            Asking::Navigation if endpoint.is_some() => {
                session.login_location_from_endpoint(head, &self.sources)
            }
            Asking::Navigation if is_read => session.login_location(head, &self.sources),
            // To ask for the address of a form again would be another request than the person made.
            Asking::Navigation | Asking::Grpc | Asking::GrpcWeb | Asking::Script => {
                session.login_location_of_page(head, &self.sources)
            }
        };
        let leads_away = by == Asking::Navigation
            && is_read
            && endpoint.is_none()
            && rejection.status() == 401
            && session.login.is_some()
            && !session.is_login_page(head);
        let attempt = leads_away.then(|| session.attempt(head, &self.sources));
        let (mut response, marker) = match (way_out, attempt) {
            (Some(location), Some(Attempt::First(marker))) => {
                // What a browser asks for ahead is not yet the person's first try.
                let marker = Some(marker).filter(|_| !access::is_prefetch(head));
                (Response::new(302).with("location", location), marker)
            }
            (way_out, attempt) => {
                let came_back = matches!(attempt, Some(Attempt::Again));
                let clean = self.sources.target_without_tokens(head);
                let address = (clean != head.target()).then(|| session.clean_location(&clean));
                let may_frame = Some(&session.allowed_origins);
                let help = Help { way_out, address, came_back, may_frame };
                (rejection.answer(by, head, &help), None)
            }
        };
        if let (Rejection::MethodNotAllowed, Some(endpoint)) = (&rejection, endpoint) {
            response = response.with("allow", endpoint.methods());
        }
        if cookies_are_dead && rejection != Rejection::Csrf {
            response = response.with_each("set-cookie", session.clear_cookies(head));
        }
        if let Some(marker) = marker {
            response = response.with("set-cookie", marker);
        }
        Answer { response: session.with_cors(head, response), event: Event::Refused(rejection) }
    }

    /// Refuses a request without a look at what it brings.
    pub(crate) fn refuse_at_sight(why: Rejection, head: &RequestHead<'_>) -> Decision<'static> {
        let response = why.answer(Asking::of(head), head, &Help::default());
        Decision::Answer(Answer { response, event: Event::Refused(why) })
    }

    /// Refuses a request whose form is not read, for that reason.
    #[must_use]
    pub fn refuse_form(&self, why: Rejection, head: &RequestHead<'_>) -> Answer {
        self.refusal(why, head, false)
    }
}
