// A mapped file that somebody shortens, or whose disk fails, answers an access by SIGBUS.
#pragma once

#include <cstddef>
#include <string>

namespace cardiograd {

// From now on such an access to a mapped input file (MappedFile) ends the program with one sentence
// on standard error, "PROGRAM: FILE ...", and exit code 1. Any other SIGBUS goes its way.
void report_lost_pages(const std::string& program);

// Makes the sentence name `path` for accesses in [data, data + bytes), until forgotten. There
// is room for 64 mappings at a time; an access to one that found none ends the program unexplained.
void remember_mapping(const void* data, std::size_t bytes, const std::string& path);
void forget_mapping(const void* data);

}  // namespace cardiograd
