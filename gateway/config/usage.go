package config

import (
	"fmt"
	"time"
)

// Usage says how the use by consumers, apps and models is counted.
type Usage struct {
	File     string `yaml:"file"`      // keeps the counts where there is no Redis; "" = memory does, until a restart
	KeepDays int    `yaml:"keep_days"` // how long the counts of a day are kept
	Zone     string `yaml:"zone"`      // whose midnights begin days, such as Asia/Shanghai
}

// mostDays are ten years, more than anybody asks for.
const mostDays = 3660

// Location is the zone of days; the check has found it.
func (u *Usage) Location() *time.Location {
	zone, err := time.LoadLocation(u.Zone)
	if err != nil {
		return time.UTC
	}
	return zone
}

func (c *checker) usage(u *Usage) {
	if u.KeepDays < 1 || u.KeepDays > mostDays {
		c.fault("usage.keep_days", fmt.Sprintf("must be 1 to %d", mostDays), "write a number of days, such as 90")
	}
	c.zone("usage.zone", u.Zone)
	c.newFile("usage.file", u.File)
}
