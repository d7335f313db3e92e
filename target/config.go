package target

import (
	"errors"
	"fmt"
	"time"
)

// Config says how long news about a key or a target counts. The zero value is
// ready to use: a zero field means the default beside it. A negative time turns
// that reaction off.
type Config struct {
	AuthEject     time.Duration `yaml:"auth_eject"`      // a refused key rests; up to 24h; 5m
	QuotaEject    time.Duration `yaml:"quota_eject"`     // a key without quota or credit rests; up to 24h; 5m
	NotFoundEject time.Duration `yaml:"not_found_eject"` // a model that a target does not have is asked elsewhere; up to 24h; 5m
	MaxPause      time.Duration `yaml:"max_pause"`       // longest pause that a provider may ask for; up to 24h; 10m

	OutlierAfter int           `yaml:"outlier_after"` // a key among several, or a target that shares its place, rests after so many faults in a row, as long as half of its siblings are well; up to 1,000; 5; negative: never
	OutlierEject time.Duration `yaml:"outlier_eject"` // for how long, times how often it has rested lately, give or take a fifth; up to 24h; 30s
	OutlierMax   time.Duration `yaml:"outlier_max"`   // at most; up to 24h; 5m
	Ramp         time.Duration `yaml:"ramp"`          // after that rest its share grows from a quarter; up to 1h; 8s

	Affinity time.Duration `yaml:"affinity"`                    // a conversation stays with the key, and with the target among those that share a place, that answered it last, while they are well; since its last call; up to 24h; 5m
	Balance  string        `yaml:"balance" oneof:"load weight"` // who of those that share a place is asked: of two drawn by weight the one with less load (in flight, by weight, times the time to its first token, more if it has failed lately), or the first drawn; load

	Pins   int           `yaml:"pins"`    // ids of provider-side state remembered; 1 to 10,000,000; 10,000
	PinTTL time.Duration `yaml:"pin_ttl"` // since the last use; 1s to 30 days; 24h
}

// The values of Config.Balance.
const (
	BalanceLoad   = "load"
	BalanceWeight = "weight"
)

// WithDefaults returns c with every zero field filled. It changes nothing when
// applied again.
func (c Config) WithDefaults() Config {
	for _, s := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.AuthEject, 5 * time.Minute},
		{&c.QuotaEject, 5 * time.Minute},
		{&c.NotFoundEject, 5 * time.Minute},
		{&c.MaxPause, 10 * time.Minute},
		{&c.OutlierEject, 30 * time.Second},
		{&c.OutlierMax, 5 * time.Minute},
		{&c.Ramp, 8 * time.Second},
		{&c.Affinity, 5 * time.Minute},
		{&c.PinTTL, 24 * time.Hour},
	} {
		if *s.value == 0 {
			*s.value = s.fallback
		}
	}
	if c.OutlierAfter == 0 {
		c.OutlierAfter = 5
	}
	if c.Balance == "" {
		c.Balance = BalanceLoad
	}
	if c.Pins == 0 {
		c.Pins = 10_000
	}
	return c
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	for _, s := range []struct {
		name  string
		value time.Duration
	}{
		{"auth_eject", c.AuthEject}, {"quota_eject", c.QuotaEject},
		{"not_found_eject", c.NotFoundEject}, {"max_pause", c.MaxPause},
		{"outlier_eject", c.OutlierEject}, {"outlier_max", c.OutlierMax}, {"affinity", c.Affinity},
	} {
		if s.value > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s: %s is above 24h", s.name, s.value))
		}
	}
	if c.OutlierAfter > 1000 {
		errs = append(errs, fmt.Errorf("outlier_after: %d is above 1000", c.OutlierAfter))
	}
	if c.Ramp > time.Hour {
		errs = append(errs, fmt.Errorf("ramp: %s is above 1h", c.Ramp))
	}
	if c.Balance != BalanceLoad && c.Balance != BalanceWeight {
		errs = append(errs, fmt.Errorf("balance: %q is none of load, weight", c.Balance))
	}
	if c.Pins < 1 || c.Pins > 10_000_000 {
		errs = append(errs, fmt.Errorf("pins: %d is not between 1 and 10000000", c.Pins))
	}
	if c.PinTTL < time.Second || c.PinTTL > 30*24*time.Hour {
		errs = append(errs, fmt.Errorf("pin_ttl: %s is not between 1s and 30 days", c.PinTTL))
	}
	return errors.Join(errs...)
}
