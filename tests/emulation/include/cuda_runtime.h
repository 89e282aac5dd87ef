// Stands for the toolkit's header.
#pragma once

#include "../cuda_emulation.h"
