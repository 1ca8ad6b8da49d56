package herald

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/herald-events/herald/internal/wire"
)

// jobAnswer is a job as the server API shows it.
type jobAnswer struct {
	ID          string          `json:"id"`
	Type        string          `json:"type" doc:"Names the handler"`
	Status      JobStatus       `json:"status" enum:"pending,processing,completed,failed,dead" doc:"failed waits for its next attempt; dead is not tried again by itself"`
	Queue       string          `json:"queue"`
	Attempts    int             `json:"attempts" doc:"Attempts that have begun"`
	MaxAttempts int             `json:"maxAttempts"`
	Payload     json.RawMessage `json:"payload"`
	LastError   string          `json:"lastError,omitempty" doc:"Of the last attempt that failed; of a panic with its stack"`
	CreatedAt   string          `json:"createdAt" format:"date-time"`
	RunAt       string          `json:"runAt" format:"date-time" doc:"When it is due, or was"`
	FinishedAt  string          `json:"finishedAt,omitempty" format:"date-time"`
}

func newJobAnswer(j Job) jobAnswer {
	a := jobAnswer{
		ID: strconv.FormatInt(j.ID, 10), Type: j.Type, Status: j.Status, Queue: j.Queue, Attempts: j.Attempts,
		MaxAttempts: j.MaxAttempts, Payload: j.Payload, LastError: j.LastError,
		CreatedAt: wire.FormatTime(j.CreatedAt), RunAt: wire.FormatTime(j.RunAt),
	}
	if !j.FinishedAt.IsZero() {
		a.FinishedAt = wire.FormatTime(j.FinishedAt)
	}
	return a
}

type jobPage struct {
	Jobs       []jobAnswer `json:"jobs" nullable:"false" doc:"The newest first"`
	NextCursor string      `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

// statsAnswer counts the jobs of all nodes.
type statsAnswer struct {
	Pending    int64 `json:"pending" doc:"Wait for their time or for room"`
	Processing int64 `json:"processing" doc:"Run"`
	Completed  int64 `json:"completed" doc:"Are done, in the last 24 hours"`
	Failed     int64 `json:"failed" doc:"Have failed, and wait for their next attempt"`
	Dead       int64 `json:"dead" doc:"Are kept until somebody retries or deletes them"`
}

type retriedAnswer struct {
	Retried int `json:"retried" doc:"How many dead jobs there were"`
}

// deletedAnswer is what became of a job that was to be deleted.
type deletedAnswer struct {
	Cancelled bool `json:"cancelled" doc:"It was running: it is dead once its handler has ended"`
}

func (a deletedAnswer) status() int {
	if a.Cancelled {
		return http.StatusAccepted
	}
	return http.StatusNoContent
}

var exampleJob = jobAnswer{
	ID: "42", Type: "email.send", Status: JobFailed, Queue: defaultQueue, Attempts: 1, MaxAttempts: 3,
	Payload: json.RawMessage(`{"to":"ada@example.com"}`), LastError: "the mail server is away",
	CreatedAt: "2026-02-16T12:00:00.000Z", RunAt: "2026-02-16T12:00:01.003Z",
}

func (a *api) jobs() {
	id := pathParam("id", "The job's id", exampleJob.ID)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/jobs/stats", ID: "getJobStats", Tag: tagJobs, Scope: ScopeJobs,
		Summary:     "Count the jobs",
		Description: "By status, over all nodes that share the store.",
	}, statsAnswer{Pending: 3, Processing: 1, Completed: 142}, a.server.serveJobStats)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/jobs", ID: "listJobs", Tag: tagJobs, Scope: ScopeJobs,
		Summary:     "List jobs",
		Description: "The newest first. Completed jobs are kept for 24 hours, dead ones until somebody deletes them.",
		Params: append(pageParams(),
			queryParam("status", "pending, processing, completed, failed or dead", string(JobDead)),
			queryParam("type", "The jobs of one type", exampleJob.Type)),
		Refusals: []Code{CodeBadRequest},
	}, jobPage{Jobs: []jobAnswer{exampleJob}}, a.server.serveJobs)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/jobs/{id}", ID: "getJob", Tag: tagJobs, Scope: ScopeJobs,
		Summary: "See a job", Description: "With the error of its last attempt that failed.",
		Params: []*huma.Param{id}, Refusals: []Code{CodeNotFound},
	}, exampleJob, a.server.serveJob)
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/jobs/{id}/retry", ID: "retryJob", Tag: tagJobs, Scope: ScopeJobs,
		Status: http.StatusAccepted, Summary: "Retry a job",
		Description: "Has a dead job, or a failed one that waits for its next attempt, run now.",
		Params:      []*huma.Param{id}, Refusals: []Code{CodeNotFound, CodeConflict},
	}, exampleJob, a.server.serveRetryJob)
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/jobs/dead/retry", ID: "retryDeadJobs", Tag: tagJobs, Scope: ScopeJobs,
		Status: http.StatusAccepted, Summary: "Retry all dead jobs",
		Description: "Of those that share a unique key the newest is retried, and none where another job has the key.",
	}, retriedAnswer{Retried: 7}, a.server.serveRetryDeadJobs)
	register(a, operation{
		Method: http.MethodDelete, Path: "/api/v1/jobs/{id}", ID: "deleteJob", Tag: tagJobs, Scope: ScopeJobs,
		Status: http.StatusNoContent, Other: http.StatusAccepted, Summary: "Delete a job",
		Description: "Removes a job. One that runs is cancelled instead, which is answered with 202: it is dead once its handler has ended.",
		Params:      []*huma.Param{id}, Refusals: []Code{CodeNotFound},
	}, deletedAnswer{Cancelled: true}, a.server.serveDeleteJob)
	a.mux.HandleFunc("DELETE /api/v1/jobs/stats", a.otherMethod("GET, HEAD")) // which is no job's id
}

func (s *Server) serveJobStats(r *http.Request, _ []byte) (statsAnswer, error) {
	if s.config.Store == nil {
		return statsAnswer{}, errNoStore()
	}
	n, err := s.config.Store.JobStats(r.Context())
	return statsAnswer{
		Pending: n[JobPending], Processing: n[JobProcessing], Completed: n[JobCompleted], Failed: n[JobFailed], Dead: n[JobDead],
	}, err
}

func (s *Server) serveJobs(r *http.Request, _ []byte) (jobPage, error) {
	if s.config.Store == nil {
		return jobPage{}, errNoStore()
	}
	q, err := readJobQuery(r)
	if err != nil {
		return jobPage{}, err
	}
	limit := q.Limit
	q.Limit++ // to see whether there is another page
	jobs, err := s.config.Store.Jobs(r.Context(), JobQuery(q))
	if err != nil {
		return jobPage{}, err
	}
	page := jobPage{Jobs: []jobAnswer{}}
	if len(jobs) > limit {
		jobs = jobs[:limit]
		page.NextCursor = q.cursor(jobs[limit-1])
	}
	for _, j := range jobs {
		page.Jobs = append(page.Jobs, newJobAnswer(j))
	}
	return page, nil
}

func (s *Server) serveJob(r *http.Request, _ []byte) (jobAnswer, error) {
	id, err := s.jobID(r)
	if err != nil {
		return jobAnswer{}, err
	}
	j, found, err := s.config.Store.Job(r.Context(), id)
	if err == nil && !found {
		err = errNoJob()
	}
	return newJobAnswer(j), err
}

func (s *Server) serveRetryJob(r *http.Request, _ []byte) (jobAnswer, error) {
	id, err := s.jobID(r)
	if err != nil {
		return jobAnswer{}, err
	}
	j, err := s.config.Store.RetryJob(r.Context(), id)
	return newJobAnswer(j), err
}

func (s *Server) serveRetryDeadJobs(r *http.Request, _ []byte) (retriedAnswer, error) {
	if s.config.Store == nil {
		return retriedAnswer{}, errNoStore()
	}
	n, err := s.config.Store.RetryDeadJobs(r.Context())
	return retriedAnswer{n}, err
}

func (s *Server) serveDeleteJob(r *http.Request, _ []byte) (deletedAnswer, error) {
	id, err := s.jobID(r)
	if err != nil {
		return deletedAnswer{}, err
	}
	cancelled, err := s.config.Store.DeleteJob(r.Context(), id)
	return deletedAnswer{cancelled}, err
}

// jobID reads which job a call is about. What is no id is that of no job.
func (s *Server) jobID(r *http.Request) (int64, error) {
	if s.config.Store == nil {
		return 0, errNoStore()
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, errNoJob()
	}
	return id, nil
}

func errNoJob() error { return refuse(CodeNotFound, "no job has this id") }
