package main

// Fold is what the app must compute, said in the plainest way: one pass over the
// rows, no stream, no state, nothing that can fail. The demo and the tests
// compare the table route-stats with it. A landing is on time up to a delay of onTime
// minutes.
func Fold(rows []Row, onTime int) map[string]Stats {
	routes := make(map[string]Stats)
	for _, r := range rows {
		s := routes[r.Origin+"-"+r.Dest]
		s.Flights++
		if r.Departed {
			if s.Departed == 0 {
				s.DepDelayMax = int64(r.DepDelay)
			}
			s.Departed++
			s.DepDelaySum += int64(r.DepDelay)
			s.DepDelayMax = max(s.DepDelayMax, int64(r.DepDelay))
		} else {
			s.Cancelled++
		}
		if r.Landed {
			s.Landed++
			s.ArrDelaySum += int64(r.ArrDelay)
			if r.ArrDelay <= onTime {
				s.ArrOnTime++
			}
		}
		if r.Departed && !r.Landed {
			s.Diverted++
		}
		routes[r.Origin+"-"+r.Dest] = s
	}
	return routes
}
