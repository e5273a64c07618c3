//! The mails of a change.

use super::change::Change;
use crate::client::{Client, device_name};
use crate::clock::{Timestamp, in_utc, in_words};
use crate::error::Error;
use crate::link::{Link, Purpose};
use crate::mail::{Content, Letter};
use crate::notice::{self, Notice};
use crate::password::PasswordHash;
use crate::sql;
use crate::token::{Token, TokenId};
use crate::user::{Email, User};

/// How long a notice is worth sending: three days.
const NOTICE_LIFETIME: Timestamp = 3 * 24 * 60 * 60;

impl Change<'_> {
    /// Mails `template` with a new link for `purpose` to `email`.
    pub async fn mail_link(
        &mut self,
        template: &'static str,
        purpose: Purpose,
        user: &User,
        email: &Email,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        let (token, expires_at) = self.link(purpose, user, email).await?;
        let content = Content { new_address: email.to_string(), ..self.content(&user.email) };
        self.mail_token(template, purpose, Some(user.id), email, (token, expires_at), content).await
    }

    /// Mails a link to `email` that makes an account with this password. `sign_up` is kept with it.
    /// Returns the link's id.
    pub async fn mail_sign_up(
        &mut self,
        email: &Email,
        hash: PasswordHash,
        sign_up: Option<String>,
    ) -> Result<TokenId, Error> {
        let purpose = Purpose::SignUp;
        let link = Link { password_hash: Some(hash), sign_up, ..self.new_link(purpose, email) };
        let (token, expires_at) = self.insert_link(link).await?;
        let (id, content) = (token.id(), self.content(email));
        self.mail_token("verify", purpose, None, email, (token, expires_at), content).await?;
        Ok(id)
    }

    /// Tells the reader of the mailbox `email`, which is or was the address of `user`, that
    /// somebody else has typed that address. The mail leads to `page`.
    pub async fn mail_taken(
        &mut self,
        template: &'static str,
        page: &str,
        user: &User,
        email: &Email,
    ) -> Result<(), Error> {
        let is_present = user.email.is_same(email);
        let recipient = if is_present { &user.email } else { email };
        let lifetime = self.lifetime(Purpose::SignUp).as_secs() as Timestamp;
        let link = self.accounts.mail.page(page);
        let letter = Letter {
            template,
            user_id: Some(user.id),
            recipient,
            expires_at: self.now + lifetime,
            replaces: true,
            content: Content { link, ..self.content(recipient) },
        };
        self.queue(letter).await
    }

    /// Begins a part of the change that has an effect for some addresses, and none for others. The
    /// time of an answer must not tell which addresses have accounts. So the part runs as many
    /// statements for both, until [`end_masked()`](Self::end_masked()).
    pub async fn begin_masked(&mut self) -> Result<(), Error> {
        sql::query("SAVEPOINT masked").execute(self).await?;
        Ok(())
    }

    /// Ends the part that [`begin_masked()`](Self::begin_masked()) began. Undoes it unless it
    /// `is_real`.
    pub async fn end_masked(&mut self, is_real: bool) -> Result<(), Error> {
        let end = if is_real { "RELEASE masked" } else { "ROLLBACK TO masked" };
        sql::query(end).execute(self).await?;
        Ok(())
    }

    /// Makes a link for a sign-up, which is undone later.
    pub async fn pretend_link(
        &mut self,
        email: &Email,
        hash: PasswordHash,
        sign_up: Option<String>,
    ) -> Result<(), Error> {
        let link = self.new_link(Purpose::SignUp, email);
        self.insert_link(Link { password_hash: Some(hash), sign_up, ..link }).await?;
        Ok(())
    }

    /// Mails `template` with the link of `token`, which exists already.
    async fn mail_token(
        &mut self,
        template: &'static str,
        purpose: Purpose,
        user_id: Option<i64>,
        email: &Email,
        (token, expires_at): (Token, Timestamp),
        content: Content,
    ) -> Result<(), Error> {
        let path = match purpose {
            Purpose::SignUp | Purpose::Verify | Purpose::ChangeEmail => "/verify",
            Purpose::Reset => "/reset",
            Purpose::NotMe => "/not-me",
        };
        let content = Content {
            link: self.accounts.mail.link(path, &token),
            lifetime: in_words(self.lifetime(purpose)),
            ..content
        };
        let (recipient, replaces) = (email, true);
        self.queue(Letter { template, user_id, recipient, expires_at, replaces, content }).await
    }

    /// Mails `template` to `recipient`, about the account of `user`, with a new link "this was not
    /// me".
    pub async fn tell(
        &mut self,
        template: &'static str,
        user: &User,
        recipient: &Email,
        content: Content,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        // Somebody who holds an account with another person's address must not fill that person's
        // mailbox. The act itself goes on.
        if !self.may_notify(user, recipient).await? {
            return Ok(());
        }

        let (token, _) = self.link(Purpose::NotMe, user, recipient).await?;
        let content = Content { not_me: self.accounts.mail.link("/not-me", &token), ..content };
        let expires_at = self.now + NOTICE_LIFETIME;
        let (user_id, replaces) = (Some(user.id), false);
        self.queue(Letter { template, user_id, recipient, expires_at, replaces, content }).await
    }

    /// Mails `notice` to the user, unless they have switched it off.
    pub async fn notify(
        &mut self,
        notice: Notice,
        user: &User,
        recipient: &Email,
        content: Content,
    ) -> Result<(), Error> {
        if self.accounts.mail.is_on() && notice::is_wanted(self, user.id, notice).await? {
            self.tell(notice.name(), user, recipient, content).await?;
        }
        Ok(())
    }

    /// Mails `template`, which is about a second factor, to the user, unless they have switched
    /// [`Notice::Factors`] off.
    pub async fn notify_factor(
        &mut self,
        template: &'static str,
        user: &User,
        content: Content,
    ) -> Result<(), Error> {
        self.notify_as(Notice::Factors, template, user, content).await
    }

    /// Mails `template`, which belongs to `notice`, to the user, unless they have switched that off.
    pub async fn notify_as(
        &mut self,
        notice: Notice,
        template: &'static str,
        user: &User,
        content: Content,
    ) -> Result<(), Error> {
        if self.accounts.mail.is_on() && notice::is_wanted(self, user.id, notice).await? {
            self.tell(template, user, &user.email, content).await?;
        }
        Ok(())
    }

    /// Tells the present address of `user` that the owner of `former`, an earlier one, has locked
    /// the account with "this was not me", and, if `is_moved`, has taken it back.
    ///
    /// The mail has no such link itself, or the account would go back and forth. It is sent even if
    /// notices are off, because the two may disagree about them.
    pub async fn tell_overruled(
        &mut self,
        user: &User,
        former: &Email,
        is_moved: bool,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        let link = if is_moved { String::new() } else { self.accounts.mail.page("/reset") };
        let content =
            Content { new_address: former.to_string(), link, ..self.content(&user.email) };
        let letter = Letter {
            template: "overruled",
            user_id: Some(user.id),
            recipient: &user.email,
            expires_at: self.now + NOTICE_LIFETIME,
            replaces: false,
            content,
        };
        // The recipient did nothing to cause it, so it is sent in any case.
        self.count_mail().await?;
        self.queue(letter).await
    }

    /// Mails the notice of failed log-ins to `user`, like [`notify()`](Self::notify()). It does as
    /// much work if there is no such account, or the notice is off.
    pub async fn notify_failures(
        &mut self,
        user: Option<&User>,
        email: &Email,
        count: i64,
        void: PasswordHash,
    ) -> Result<(), Error> {
        if !self.accounts.mail.is_on() {
            return Ok(());
        }

        let notice = Notice::Failures;
        let is_wanted = notice::is_wanted(self, user.map_or(0, |user| user.id), notice).await?;
        let told = user.filter(|_| is_wanted);
        self.begin_masked().await?;
        match told {
            Some(user) => {
                let content = Content { count, ..self.content(&user.email) };
                self.tell(notice.name(), user, &user.email, content).await?;
            }
            None => {
                self.count_pretended(email).await?;
                self.pretend_link(email, void, None).await?;
                let content = Content { count, ..self.content(email) };
                let letter = Letter {
                    template: notice.name(),
                    user_id: None,
                    recipient: email,
                    expires_at: self.now + NOTICE_LIFETIME,
                    replaces: false,
                    content,
                };
                self.queue(letter).await?;
            }
        }
        self.end_masked(told.is_some()).await
    }

    /// Returns what the mails say about this request and about the account of `address`.
    pub fn content(&self, address: &Email) -> Content {
        self.content_of(address, self.accounts.client, self.now)
    }

    /// Returns what the mails say about what `client` did at `at` to the account of `address`.
    pub fn content_of(&self, address: &Email, client: &Client, at: Timestamp) -> Content {
        Content {
            address: address.to_string(),
            device: device_name(&client.user_agent),
            ip_address: match client.ip_address() {
                unknown if unknown.is_empty() => "unknown".into(),
                address => address,
            },
            time: in_utc(at),
            ..Content::default()
        }
    }

    async fn queue(&mut self, letter: Letter<'_>) -> Result<(), Error> {
        let (mail, now) = (self.accounts.mail, self.now);
        mail.queue(self, letter, now).await
    }
}
