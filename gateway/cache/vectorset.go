package cache

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	vectorPrefix = "warmlane:near:"
	lackFor      = time.Minute // until a Redis without vector sets is asked again: it may have been upgraded
)

// vectorSets keeps wordings in the vector sets of Redis 8, one set a partition, and in this process where Redis has none. Vectors are stored
// as they are (NOQUANT); Redis searches by HNSW, which may miss a neighbour, and that is a miss like any other. A set lives as long as
// the answer that came last; wordings whose answers have gone leave it when they are found, or when it is full.
type vectorSets struct {
	*shared
	here  *wordings
	lacks atomic.Int64 // until when Redis is not asked for vector sets, in Unix nanoseconds
}

func (s *vectorSets) name(w *Wording) string {
	return vectorPrefix + w.rule.Name + ":" + w.partition.String() + ":" + strconv.Itoa(len(w.vector))
}

// lacking says whether Redis has no vector sets.
func (s *vectorSets) lacking() bool { return time.Now().UnixNano() < s.lacks.Load() }

// failed takes note of an error; true when Redis knows no vector sets, or does not let us use them.
func (s *vectorSets) failed(err error) bool {
	if text := err.Error(); strings.Contains(text, "unknown command") || strings.HasPrefix(text, "NOPERM") {
		if s.lacks.Swap(time.Now().Add(lackFor).UnixNano()) == 0 {
			reason, _, _ := strings.Cut(text, ",") // behind it stand a part of the vector and the name
			s.log.Info("redis has no vector sets, each gateway finds similar questions by itself", "err", reason)
		}
		return true
	}
	s.rest(err)
	return false
}

func (s *vectorSets) near(ctx context.Context, w *Wording, now time.Time) []neighbour {
	if s.lacking() {
		return s.here.near(ctx, w, now)
	}
	if s.resting() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	found, err := s.client.VSimWithArgsWithScores(ctx, s.name(w), inBytes(w.vector), &redis.VSimArgs{Count: mostNear}).Result()
	if err != nil {
		if s.failed(err) {
			return s.here.near(ctx, w, now)
		}
		return nil
	}
	var best []neighbour
	for _, f := range found {
		n := neighbour{similarity: 2*f.Score - 1} // Redis tells 1 for the same direction and 0 for the opposite one
		if k, err := hex.DecodeString(f.Name); err == nil && len(k) == len(n.answer) && n.similarity >= w.rule.Semantic.Threshold {
			copy(n.answer[:], k)
			best = keepBest(best, n)
		}
	}
	return best
}

func (s *vectorSets) add(ctx context.Context, w *Wording, now time.Time) {
	if s.lacking() {
		s.here.add(ctx, w, now)
		return
	}
	if s.resting() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	name := s.name(w)
	var size *redis.IntCmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.VAddWithArgs(ctx, name, w.answer.String(), inBytes(w.vector), &redis.VAddArgs{NoQuant: true})
		p.PExpire(ctx, name, time.Duration(w.rule.TTL))
		size = p.VCard(ctx, name)
		return nil
	})
	if err == nil && size.Val() > int64(w.rule.Semantic.MaxEntries) {
		err = s.evict(ctx, name)
	}
	if err != nil && s.failed(err) {
		s.here.add(ctx, w, now)
	}
}

// evict makes room in a full set: any wording goes, also one whose answer has gone long ago.
func (s *vectorSets) evict(ctx context.Context, name string) error {
	victim, err := s.client.VRandMember(ctx, name).Result()
	if err != nil {
		return err
	}
	return s.client.VRem(ctx, name, victim).Err()
}

func (s *vectorSets) forget(ctx context.Context, w *Wording, answer Key) {
	if s.lacking() {
		s.here.forget(ctx, w, answer)
		return
	}
	if s.resting() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := s.client.VRem(ctx, s.name(w), answer.String()).Err(); err != nil {
		s.failed(err)
	}
}

func (s *vectorSets) drop(ctx context.Context, rule string) error {
	_ = s.here.drop(ctx, rule)
	_, err := s.dropAll(ctx, vectorPrefix, rule)
	return err
}

// inBytes is a vector as Redis takes it.
func inBytes(v []float32) *redis.VectorFP32 {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return &redis.VectorFP32{Val: raw}
}
