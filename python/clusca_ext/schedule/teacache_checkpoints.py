"""TeaCache as published for checkpoints of Wan 2.1 and CogVideoX (ali-vilab/TeaCache).

Its scripts look at the timestep's embedding there. Coefficients are theirs, thresholds the first of
the tables beside them, or what it evaluates as slow. Conditional and unconditional calls add up
apart, as branches of guidance do here.
"""

from clusca_ext.schedule.by_change import TeaCacheSchedule

# A model's configuration says which checkpoint it is, but for sizes of Wan's image to video.
TEACACHE_CHECKPOINTS: dict[str, TeaCacheSchedule] = {
    name: TeaCacheSchedule(
        threshold=threshold, polynomial=polynomial, change_of="embedded timestep"
    )
    for name, threshold, polynomial in (
        (
            "Wan2.1-T2V-1.3B",
            0.05,
            (2396.76752, -1311.10545, 201.331979, -8.29855975, 0.137887774),
        ),
        (
            "Wan2.1-T2V-14B",
            0.14,
            (-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404),
        ),
        (
            "Wan2.1-I2V-14B-480P",
            0.13,
            (-302.33167, 223.948934, -52.546397, 5.8734844, -0.201973289),
        ),
        (
            "Wan2.1-I2V-14B-720P",
            0.18,
            (-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683),
        ),
        (
            "CogVideoX-2b",
            0.1,
            (-31.0658903, 25.4732368, -5.92380459, 1.75769064, -0.00361568434),
        ),
        (
            "CogVideoX-5b",
            0.1,
            (-1538.80483, 843.202495, -134.363087, 7.97131516, -0.0523162339),
        ),
        (
            "CogVideoX-5b-I2V",
            0.1,
            (-1538.80483, 843.202495, -134.363087, 7.97131516, -0.0523162339),
        ),
        (
            "CogVideoX1.5-5B",
            0.1,
            (250.210439, -165.061612, 35.7804877, -0.781551492, 0.0358559703),
        ),
        (
            "CogVideoX1.5-5B-I2V",
            0.1,
            (122.842302, -104.088754, 26.2981677, -0.306009921, 0.037121322),
        ),
    )
}

# The script's other mode for Wan (``use_ret_steps``): it looks at what blocks are given of the
# timestep, the first five steps are full, and the last is as any other. Said to be faster and
# better than the first mode, but for the quality of T2V-1.3B.
TEACACHE_RETAINED: dict[str, TeaCacheSchedule] = {
    name: TeaCacheSchedule(
        threshold=threshold,
        polynomial=polynomial,
        change_of="projected timestep",
        warmup=5,
        last=False,
    )
    for name, threshold, polynomial in (
        (
            "Wan2.1-T2V-1.3B",
            0.05,
            (-52186.2437, 9230.41404, -528.275948, 13.6987616, -0.0499875664),
        ),
        (
            "Wan2.1-T2V-14B",
            0.1,
            (-303318.725, 49053.7029, -2655.30556, 58.7365115, -0.315583525),
        ),
        (
            "Wan2.1-I2V-14B-480P",
            0.2,
            (257151.496, -35422.9917, 1402.86849, -13.5890334, 0.132517977),
        ),
        (
            "Wan2.1-I2V-14B-720P",
            0.2,
            (8107.0546, 2133.93892, -372.934672, 16.6203073, -0.0417769401),
        ),
    )
}
