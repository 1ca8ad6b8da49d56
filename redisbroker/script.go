package redisbroker

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/rueidis"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// script is called by its hash, and sent whole to a Redis that does not know it. Unlike rueidis.Lua it can
// be one of the commands of a pipeline.
type script struct{ text, sha string }

// A script is the files that it names, one after the other.
var (
	openScript    = newScript("stream", "at", "told", "open")
	appendScript  = newScript("stream", "keep", "append")
	recordScript  = newScript("stream", "at", "keep", "record")
	onceScript    = newScript("once")
	readScript    = newScript("stream", "at", "told", "read")
	locateScript  = newScript("stream", "at", "told", "locate")
	membersScript = newScript("room", "members")
	applyScript   = newScript("room", "change", "apply")
	replaceScript = newScript("room", "change", "replace")
	renewScript   = newScript("renew")
	enterScript   = newScript("enter")
	endScript     = newScript("end")
)

func newScript(files ...string) script {
	var text strings.Builder
	for _, name := range files {
		b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic(err) // it is part of the program
		}
		text.Write(b)
	}
	sum := sha1.Sum([]byte(text.String()))
	return script{text.String(), hex.EncodeToString(sum[:])}
}

func (s script) byHash(c rueidis.Client, keys, args []string) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

func (s script) whole(c rueidis.Client, keys, args []string) rueidis.Completed {
	return c.B().Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// isUnknown tells that Redis has forgotten the script.
func isUnknown(err error) bool {
	refused, ok := rueidis.IsRedisErr(err)
	return ok && refused.IsNoScript()
}

// run calls the script within the deadline of one call.
func (b *Broker) run(ctx context.Context, s script, keys, args []string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	c := b.client()
	result := c.Do(ctx, s.byHash(c, keys, args))
	if isUnknown(result.Error()) {
		result = c.Do(ctx, s.whole(c, keys, args))
	}
	return result
}
