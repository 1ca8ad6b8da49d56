package main

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// mint signs a user's token with the first secret, so that a server with the same settings takes it.
func mint(o *options, lifetime time.Duration, claims map[string]any) (string, error) {
	now := time.Now()
	signed := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(lifetime).Unix()}
	if iss := o.herald.Users.Issuer; iss != "" {
		signed["iss"] = iss
	}
	if aud := o.herald.Users.Audience; aud != "" {
		signed["aud"] = aud
	}
	for name, value := range claims {
		signed[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, signed).SignedString([]byte(o.herald.Users.Secrets[0]))
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return token, nil
}
