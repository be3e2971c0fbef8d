// Symbol visibility: everything is hidden unless it says FB_API.
#pragma once

#define FB_API __attribute__((visibility("default")))
