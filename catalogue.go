package herald

import "time"

// The catalogue: the facts that nearly every backend has. An application's own types are declared
// the same way, as a struct with an EventType method.

// UserRegistered says that an account was made.
type UserRegistered struct {
	UserID string `json:"userId"`
}

// UserDeleted says that an account is gone.
type UserDeleted struct {
	UserID string `json:"userId"`
}

// UserUpdated says which fields of an account changed.
type UserUpdated struct {
	UserID string   `json:"userId"`
	Fields []string `json:"fields"`
}

// LoginSuccess says that a user signed in.
type LoginSuccess struct {
	UserID string `json:"userId"`
	Email  string `json:"email"`
}

// LoginFailed says that somebody tried to sign in and could not.
type LoginFailed struct {
	Email string `json:"email"`
}

// Logout says that a user signed out.
type Logout struct {
	UserID string `json:"userId"`
}

// PasswordChanged says that a user chose a new password while signed in.
type PasswordChanged struct {
	UserID string `json:"userId"`
}

// PasswordReset says that a user chose a new password without the old one.
type PasswordReset struct {
	UserID string `json:"userId"`
}

// EmailVerified says that a user's address was confirmed.
type EmailVerified struct {
	UserID string `json:"userId"`
}

// MFAEnabled says that a user turned on a second factor.
type MFAEnabled struct {
	UserID string `json:"userId"`
}

// MFADisabled says that a user turned off the second factor.
type MFADisabled struct {
	UserID string `json:"userId"`
}

// APIKeyCreated says that a user made an API key of the application.
type APIKeyCreated struct {
	UserID string `json:"userId"`
	KeyID  string `json:"keyId"`
}

// APIKeyRevoked says that an API key of the application no longer works.
type APIKeyRevoked struct {
	UserID string `json:"userId"`
	KeyID  string `json:"keyId"`
}

// AccountLocked says that nobody can sign in with an address for now.
type AccountLocked struct {
	Email string `json:"email"`
}

// AccountUnlocked says that an address can be used to sign in again.
type AccountUnlocked struct {
	Email string `json:"email"`
}

// WebhookDisabled says that Herald delivers nothing to an endpoint any more.
type WebhookDisabled struct {
	WebhookID string `json:"webhookId"`
	// Reason is "gone" where the endpoint has said so with 410, and "failing" where every try had failed for days.
	Reason string `json:"reason"`
	// FailingSince is when the first of the tries failed that all did since; nil where the last did not.
	FailingSince *time.Time `json:"failingSince,omitempty"`
}

// webhookTest is what POST /webhooks/{id}/test sends.
type webhookTest struct {
	WebhookID string `json:"webhookId"`
}

// The wire's names of the catalogue.

func (UserRegistered) EventType() string  { return "user.registered" }
func (UserDeleted) EventType() string     { return "user.deleted" }
func (UserUpdated) EventType() string     { return "user.updated" }
func (LoginSuccess) EventType() string    { return "login.success" }
func (LoginFailed) EventType() string     { return "login.failed" }
func (Logout) EventType() string          { return "logout" }
func (PasswordChanged) EventType() string { return "password.changed" }
func (PasswordReset) EventType() string   { return "password.reset" }
func (EmailVerified) EventType() string   { return "email.verified" }
func (MFAEnabled) EventType() string      { return "mfa.enabled" }
func (MFADisabled) EventType() string     { return "mfa.disabled" }
func (APIKeyCreated) EventType() string   { return "api_key.created" }
func (APIKeyRevoked) EventType() string   { return "api_key.revoked" }
func (AccountLocked) EventType() string   { return "account.locked" }
func (AccountUnlocked) EventType() string { return "account.unlocked" }
func (WebhookDisabled) EventType() string { return "webhook.disabled" }
func (webhookTest) EventType() string     { return "webhook.test" }

// catalogue is every type that Herald knows by itself.
var catalogue = []Payload{
	UserRegistered{}, UserDeleted{}, UserUpdated{}, LoginSuccess{}, LoginFailed{}, Logout{}, PasswordChanged{}, PasswordReset{},
	EmailVerified{}, MFAEnabled{}, MFADisabled{}, APIKeyCreated{}, APIKeyRevoked{}, AccountLocked{}, AccountUnlocked{},
	WebhookDisabled{}, ChannelOccupied{}, ChannelVacated{}, MemberJoined{}, MemberLeft{}, ConnectionOpened{}, ConnectionClosed{},
}

// Herald's own notices, which it publishes where [Config].Notices has their types.

// ChannelOccupied says that a channel has its first subscriber, over all nodes.
type ChannelOccupied struct {
	Channel string `json:"channel"`
}

// ChannelVacated says that a channel has lost its last subscriber, over all nodes.
type ChannelVacated struct {
	Channel string `json:"channel"`
}

// MemberJoined says that a member's first connection has joined a presence channel, over all nodes.
type MemberJoined struct {
	Channel string `json:"channel"`
	Member  Member `json:"member"`
}

// MemberLeft says that a member's last connection has left a presence channel, over all nodes. The member has no
// info.
type MemberLeft struct {
	Channel string `json:"channel"`
	Member  Member `json:"member"`
}

// ConnectionOpened says that somebody has connected.
type ConnectionOpened struct {
	ConnectionID string `json:"connectionId"`     // its socket id, or connection id
	Transport    string `json:"transport"`        // "websocket" or "sse"
	UserID       string `json:"userId,omitempty"` // whose token came with the request
}

// ConnectionClosed says that a connection is over.
type ConnectionClosed struct {
	ConnectionID string `json:"connectionId"`
	Transport    string `json:"transport"`
	UserID       string `json:"userId,omitempty"` // whose it was in the end
	Code         int    `json:"code"`             // the close code; 1006: the peer went without a word
}

func (ChannelOccupied) EventType() string  { return "channel.occupied" }
func (ChannelVacated) EventType() string   { return "channel.vacated" }
func (MemberJoined) EventType() string     { return "member.added" }
func (MemberLeft) EventType() string       { return "member.removed" }
func (ConnectionOpened) EventType() string { return "connection.opened" }
func (ConnectionClosed) EventType() string { return "connection.closed" }
