package herald

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type disconnectAnswer struct {
	Disconnected int `json:"disconnected" minimum:"0" doc:"How many connections were closed"`
}

func (a *api) disconnects() {
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/connections/{socketId}/disconnect", ID: "disconnectConnection",
		Tag: tagConnections, Summary: "Disconnect one connection",
		Description: "Closes it with 4410, which clients do not reconnect from. 0 says that there was none.",
		Scope:       ScopeAdmin, Refusals: []Code{CodeBadRequest},
		Params: []*huma.Param{pathParam("socketId", "A socket id or a connection id", "137204873.482911")},
	}, disconnectAnswer{1}, a.server.serveDisconnect)
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/users/{id}/disconnect", ID: "disconnectUser",
		Tag: tagConnections, Summary: "Disconnect a user",
		Description: "Closes all connections of the user with 4410. 0 says that there was none.",
		Scope:       ScopeAdmin, Refusals: []Code{CodeBadRequest},
		Params: []*huma.Param{pathParam("id", "The user's id, the `sub` of his tokens", "u-7")},
	}, disconnectAnswer{2}, a.server.serveDisconnectUser)
}

func (s *Server) serveDisconnect(r *http.Request, _ []byte) (disconnectAnswer, error) {
	var rd reading
	id := r.PathValue("socketId")
	rd.fail("socketId", checkConnectionID(id))
	if err := rd.err(); err != nil {
		return disconnectAnswer{}, err
	}
	n, err := s.Disconnect(r.Context(), id)
	return disconnectAnswer{n}, err
}

func (s *Server) serveDisconnectUser(r *http.Request, _ []byte) (disconnectAnswer, error) {
	var rd reading
	id := r.PathValue("id")
	rd.fail("id", checkPersonID(id))
	if err := rd.err(); err != nil {
		return disconnectAnswer{}, err
	}
	n, err := s.DisconnectUser(r.Context(), id)
	return disconnectAnswer{n}, err
}
