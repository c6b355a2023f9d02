NAME mailopt FREE
OBJSENSE
    MIN
ROWS
 N objective
 G r
 L s
COLUMNS
 x objective 1.0
 x r 1.0
 x s 1.0
 y objective 2.0
 y r 1.0
RHS
 RHS objective -0.0
 RHS r 2.0
 RHS s 7.0
RANGES
BOUNDS
 UP BOUND x 5.0
ENDATA
