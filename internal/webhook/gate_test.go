package webhook

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func enter(t *testing.T, g *Gates, endpoint string, limits Limits) (leave func()) {
	t.Helper()
	leave, err := g.Enter(t.Context(), endpoint, limits)
	if err != nil {
		t.Fatalf("Enter: %v", err)
	}
	return leave
}

// TestOneSlowEndpointTakesNothingFromOthers: beyond its limits it is refused, and another is not.
func TestOneSlowEndpointTakesNothingFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(time.Second)
		limits := Limits{Concurrency: 2}
		enter(t, g, "slow", limits)
		leave := enter(t, g, "slow", limits)
		ended := make(chan error)
		for range maxWaiting {
			go func() {
				_, err := g.Enter(t.Context(), "slow", limits)
				ended <- err
			}()
		}
		synctest.Wait()
		begun := time.Now()
		if _, err := g.Enter(t.Context(), "slow", limits); !errors.Is(err, ErrFull) || time.Since(begun) > 0 {
			t.Errorf("with a full line: got %v after %v, want %v at once", err, time.Since(begun), ErrFull)
		}
		enter(t, g, "another", limits)
		leave()
		if err := <-ended; err != nil {
			t.Errorf("who was next: got %v, want no error", err)
		}
		for range maxWaiting - 1 {
			if err := <-ended; !errors.Is(err, ErrFull) {
				t.Errorf("who has waited: got %v, want %v", err, ErrFull)
			}
		}
		if got := time.Since(begun); got != time.Second {
			t.Errorf("they waited %v, want a second", got)
		}
	})
}

func TestGateIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(time.Minute)
		leave := enter(t, g, "e", Limits{Concurrency: 1})
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				leave, err := g.Enter(t.Context(), "e", Limits{Concurrency: 1})
				if err != nil {
					t.Errorf("Enter: %v", err)
					return
				}
				order <- i
				leave()
			}()
			synctest.Wait()
		}
		leave()
		for want := range 3 {
			if got := <-order; got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
		synctest.Wait()
		if len(g.gates) != 0 {
			t.Errorf("%d gates are left", len(g.gates))
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(time.Second)
		limits := Limits{Concurrency: 100, Rate: 2}
		begun := time.Now()
		for range 4 { // two at once, and one each half second
			enter(t, g, "e", limits)()
		}
		if got := time.Since(begun); got != time.Second {
			t.Errorf("four at two a second took %v, want 1s", got)
		}
		slow := Limits{Concurrency: 100, Rate: 0.1}
		enter(t, g, "slow", slow)()
		if _, err := g.Enter(t.Context(), "slow", slow); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
		if room := g.Room(time.Second); len(room) != 0 {
			t.Errorf("there is room for %v, want for none before 10 s are over", room)
		}
		<-time.After(9 * time.Second)
		if room := g.Room(time.Second); room["slow"] != 1 {
			t.Errorf("there is room for %v, want for one within a second", room)
		}
		enter(t, g, "slow", Limits{Concurrency: 100})() // the limit is taken away
	})
}

// TestWhoWasSentAwayIsCalled: as many as there is room for, and no more once nobody is there.
func TestWhoWasSentAwayIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(0)
		limits := Limits{Concurrency: 4}
		var leave []func()
		for range 4 {
			leave = append(leave, enter(t, g, "e", limits))
		}
		if _, err := g.Enter(t.Context(), "e", limits); !errors.Is(err, ErrFull) || !g.HoldIfFull("e") {
			t.Fatalf("got %v, and full: %v", err, g.HoldIfFull("e"))
		}
		if room := g.Room(time.Second); len(room) != 0 {
			t.Errorf("there is room for %v, want for none", room)
		}
		<-time.After(8 * time.Second)
		if !g.HoldIfFull("e") {
			t.Error("there is room while all are inside")
		}
		for _, l := range leave[:3] { // which take 8 s each, on the average of the last 8 about 2.6
			l()
		}
		if room := g.Room(0); room["e"] != 3 || g.HoldIfFull("e") {
			t.Errorf("there is room for %v, want for 3", room)
		}
		if room := g.Room(2700 * time.Millisecond); room["e"] != 7 {
			t.Errorf("there is room for %v in the time of one, want for 4 more", room)
		}
		if room := g.Room(time.Hour); room["e"] != maxCalled {
			t.Errorf("there is room for %v, want for %d at most", room, maxCalled)
		}
		if took := looks(g, "e"); took < 30*time.Second || len(g.Room(0)) != 0 {
			t.Errorf("he was looked for for %v, want half a minute", took)
		}
		g.Look("e")
		if took := looks(g, "e"); took != 0 || len(g.Room(0)) != 0 {
			t.Errorf("who may be there was looked for for %v, want once", took)
		}
		leave[3]()
		if len(g.gates) != 0 {
			t.Errorf("%d gates are left", len(g.gates))
		}
	})
}

// looks has who was sent away be looked for in vain, and gives how long that goes on.
func looks(g *Gates, endpoint string) time.Duration {
	begun := time.Now()
	for e := g.gates[endpoint]; e.held; {
		if len(g.Room(0)) > 0 {
			g.Called(endpoint, 0)
			continue
		}
		<-time.After(firstPause)
	}
	return time.Since(begun)
}

// TestWhoWasSentAwayIsLookedForAnew: others may be on their way, whether one was found or one more was sent away.
func TestWhoWasSentAwayIsLookedForAnew(t *testing.T) {
	for name, anew := range map[string]func(g *Gates){
		"one was found":    func(g *Gates) { g.Called("e", 1) },
		"one more":         func(g *Gates) { g.Hold("e") },
		"the gate is full": func(g *Gates) { g.fill("e") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewGates(0)
				g.fill("e")
				for g.gates["e"].pause <= lastPause {
					<-time.After(firstPause)
					if len(g.Room(0)) > 0 {
						g.Called("e", 0)
					}
				}
				anew(g)
				if room := g.Room(0); room["e"] != 1 {
					t.Errorf("there is room for %v, want for 1 at once", room)
				}
				if took := looks(g, "e"); took < 30*time.Second {
					t.Errorf("he was looked for for %v, want half a minute", took)
				}
			})
		})
	}
}

// TestWhoComesTriesAgain: where nobody was there for a while, while those are still looked for who may be on their way.
func TestWhoComesTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(0)
		enter(t, g, "e", Limits{Concurrency: 1})
		g.fill("e")
		for g.gates["e"].full {
			g.Called("e", 0)
		}
		if !g.gates["e"].held || g.HoldIfFull("e") {
			t.Error("who comes is sent away for as long as others are looked for")
		}
	})
}

func TestWhoStopsWaitingLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGates(time.Minute)
		leave := enter(t, g, "e", Limits{Concurrency: 1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := g.Enter(ctx, "e", Limits{Concurrency: 1})
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		leave()
		if len(g.gates) != 0 {
			t.Errorf("%d gates are left", len(g.gates))
		}
	})
}

func TestSchedule(t *testing.T) {
	s := DefaultSchedule()
	if s.Tries() != 10 {
		t.Errorf("%d tries, want 10", s.Tries())
	}
	var all time.Duration
	for try := 1; try < s.Tries(); try++ {
		wait, more := s.Next(try, 0)
		want := s.Delays[try-1]
		if !more || wait < want*9/10 || wait > want*11/10 {
			t.Errorf("after try %d: got %v, %v, want about %v", try, wait, more, want)
		}
		all += want
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; all != want {
		t.Errorf("all is over after %v, want %v", all, want)
	}
	if _, more := s.Next(10, time.Hour); more {
		t.Error("there is an eleventh try")
	}
	if wait, more := s.Next(1, time.Hour); wait != time.Hour || !more {
		t.Errorf("asked for an hour: got %v, %v", wait, more)
	}
	if _, more := (Schedule{}).Next(1, 0); more {
		t.Error("without delays there is a second try")
	}
}
